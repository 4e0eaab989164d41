"""What `cluster setup` creates for a config: buckets, key, roles, network and budget, merged with an earlier set-up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fruitscale.config.schema import Config
from fruitscale.errors import UsageError
from fruitscale.storage import residency
from fruitscale.uris import is_s3, parse_s3

ACCOUNT, _ACCOUNT = "${AWS::AccountId}", "<account>"
FOLDERS = {"input": "photos", "output": "runs/first", "staging": "fruitscale", "logs": "clusters"}
"""The folder of each default bucket."""


@dataclass(frozen=True)
class SetupChoices:
    """The contents of a stack. URIs may contain ${AWS::AccountId}.

    `places` has the S3 URIs of each use (input, output, staging, logs), `buckets` the names of those to create.
    """

    stack: str
    region: str
    kinds: tuple[str, ...]
    places: Mapping[str, tuple[str, ...]]
    buckets: tuple[str, ...]
    keys: tuple[str, ...] = ()
    """KMS keys of the config, beside the one that is created."""
    minimal: bool = False
    email: str | None = None
    budget: int = 50

    @property
    def log_bucket(self) -> str:
        """The bucket of access logs."""
        return default_bucket(self.stack, "logs", self.region)

    @property
    def has_network(self) -> bool:
        """Whether machines need subnets; those of EMR Serverless need none."""
        return bool({"emr", "ec2-dask"} & set(self.kinds))

    @property
    def used_buckets(self) -> set[str]:
        """The buckets of all places."""
        return {split(uri)[0] for uris in self.places.values() for uri in uris}

    def prefixes(self, use: str) -> list[tuple[str, str]]:
        """Return the bucket and key prefix of each place of a use; for results, the folder that contains the runs."""
        return list(dict.fromkeys(self._prefix(use, uri) for uri in self.places.get(use, ())))

    def uses(self, bucket: str) -> list[tuple[str, str]]:
        """Return the uses of a bucket, each with its key prefix."""
        return [(use, prefix) for use in self.places for name, prefix in self.prefixes(use) if name == bucket]

    def metadata(self) -> dict[str, Any]:
        """Return what a later set-up must keep, for the template's metadata (where ${…} is an error)."""
        kept = {
            "kinds": self.kinds, "places": dict(self.places), "buckets": self.buckets, "keys": self.keys,
            "email": self.email,
        }  # fmt: skip
        found: dict[str, Any] = json.loads(json.dumps(kept).replace(ACCOUNT, _ACCOUNT))
        return found

    def merged(self, earlier: Mapping[str, Any]) -> SetupChoices:
        """Return these choices merged with those of an earlier set-up, from its metadata: nothing in use is removed."""
        earlier = json.loads(json.dumps(earlier).replace(_ACCOUNT, ACCOUNT))
        places = {
            use: _union(earlier["places"].get(use, ()), self.places.get(use, ()))
            for use in dict.fromkeys([*earlier["places"], *self.places])
        }
        return replace(
            self,
            kinds=_union(earlier["kinds"], self.kinds),
            places=places,
            buckets=_union(earlier["buckets"], self.buckets),
            keys=_union(earlier["keys"], self.keys),
            email=self.email or earlier.get("email"),
        )

    def without_buckets(self, existing: set[str]) -> SetupChoices:
        """Return these choices without creating buckets that exist already."""
        return replace(self, buckets=tuple(name for name in self.buckets if name not in existing))

    def without_keys(self, keys: set[str]) -> SetupChoices:
        """Return these choices without keys that the stack itself has made."""
        return replace(self, keys=tuple(key for key in self.keys if key not in keys))

    def _prefix(self, use: str, uri: str) -> tuple[str, str]:
        bucket, prefix = split(uri)
        folder = prefix.rpartition("/")[0]
        if use != "output" or not folder:
            return bucket, prefix
        others = [split(other) for name, uris in self.places.items() if name != use for other in uris]
        shared = any(b == bucket and f"{p}/".startswith(f"{folder}/") for b, p in others)
        return bucket, prefix if shared else folder


def choose(
    config: Config, *, stack: str, minimal: bool, input_bucket: bool, email: str | None, budget: int
) -> SetupChoices:
    """Return the choices for a config. Raises UsageError, ResidencyError for a region that is not allowed."""
    if config.cluster is None:
        raise UsageError("This config has no cluster section.", "See configs/emr.yaml and configs/ec2-dask.yaml.")
    region = residency.settle(config.storage).region
    assert region is not None
    if not config.input.uri and not input_bucket:
        raise UsageError(
            "input.uri is not set, so the machines can't be allowed to read the photos.",
            "Set it to s3://bucket/prefix, or let the set-up create a bucket: --input-bucket.",
        )
    places = _places(config, stack, region)
    named = [split(uri)[0] for use, uris in places.items() if use != "input" or input_bucket for uri in uris[:1]]
    keys = tuple(dict.fromkeys(key for key in (config.storage.kms_key, config.cluster.disk_key) if key))
    buckets = tuple(dict.fromkeys([*named, default_bucket(stack, "logs", region)]))
    return SetupChoices(stack, region, (config.cluster.kind,), places, buckets, keys, minimal, email, budget)


def split(uri: str) -> tuple[str, str]:
    """Return the bucket and the prefix of a URI, which may contain ${AWS::AccountId}."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")


def default_bucket(stack: str, use: str, region: str) -> str:
    """Return the name of a bucket that the config does not name."""
    return f"{stack}-{use}-{ACCOUNT}-{region}"


def _places(config: Config, stack: str, region: str) -> dict[str, tuple[str, ...]]:
    assert config.cluster is not None
    given = {
        "input": [config.input.uri, config.input.list],
        "output": [config.output.uri, config.pca.run, *config.input.new_since],
        "staging": [config.storage.staging_uri],
        "logs": [config.cluster.log_uri],
    }
    places = {}
    for use, uris in given.items():
        wanted = uris[0] or f"s3://{default_bucket(stack, use, region)}/{FOLDERS[use]}"
        found = [_general(uri, stack, region) for uri in (wanted, *uris[1:]) if uri]
        places[use] = tuple(dict.fromkeys(found))
    return places


def _general(uri: str, stack: str, region: str) -> str:
    """Return a URI with ${AWS::AccountId} for the account in the name of a default bucket."""
    if ACCOUNT in uri:
        return uri
    if not is_s3(uri):
        raise UsageError(
            f"{uri} is not on S3, but a cluster's machines read and write only there.", "Use s3://bucket/prefix."
        )
    parse_s3(uri)
    return re.sub(
        rf"^s3://({re.escape(stack)}-\w+)-\d{{12}}-({re.escape(region)})(?=/|$)", rf"s3://\1-{ACCOUNT}-\2", uri
    )


def _union(first: Any, second: Any) -> tuple[str, ...]:  # noqa: ANN401
    return tuple(dict.fromkeys([*first, *second]))
