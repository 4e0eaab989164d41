"""A launch: one run on temporary machines, with its id, tags, folder in the staging area and expiry."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from fruitscale.clusters import cost_limit
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.errors import ClusterError, MissingObjectError
from fruitscale.runs.run_id import new_id
from fruitscale.storage.s3 import S3Store

TAG = "fruitscale:"
RUN, EXPIRES = f"{TAG}run", f"{TAG}expires"
RECORD, JOB, STATUS, LOG = "launch.json", "job.json", "status.json", "logs/driver.log"
KEYS = "tls"
"""Folder of the run's TLS keys, deleted at its end."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Launch:
    """A launch. `config` has a cluster and a settled storage region; `created` is in seconds since 1970.

    `images` is the number of its photos, if they were listed before the launch.
    """

    id: str
    config: Config
    created: float
    owner: str
    images: int | None = None

    @property
    def cluster(self) -> Emr | EmrServerless | Ec2Dask:
        """The cluster section of its config."""
        assert self.config.cluster is not None
        return self.config.cluster

    @property
    def region(self) -> str:
        """The AWS region of all its resources."""
        assert self.config.storage.region is not None
        return self.config.storage.region

    @property
    def name(self) -> str:
        """The name of all its resources."""
        return f"fruitscale-{self.id}"

    @property
    def uri(self) -> str:
        """Its folder in the staging area (not the run folder)."""
        return f"{staging_uri(self.config)}/runs/{self.id}"

    @property
    def log_uri(self) -> str:
        """The folder of the machines' logs."""
        return (self.cluster.log_uri or f"{staging_uri(self.config)}/logs").rstrip("/")

    @property
    def expires(self) -> float:
        """The time at which its machines end at the latest, in seconds since 1970."""
        return self.created + self.lifetime_seconds

    @property
    def lifetime_seconds(self) -> float:
        """How long its machines run at most: max_hours, or less if max_cost pays for less."""
        paid, hours = self._paid_seconds, self.cluster.max_hours * 3600
        return hours if paid is None else min(hours, paid)

    @property
    def limit(self) -> str:
        """The setting that ends it, with its value."""
        if self.is_limited_by_cost:
            return f"cluster.max_cost ({self.cluster.max_cost:g} {self.cluster.prices.currency})"
        return f"cluster.max_hours ({self.cluster.max_hours:g})"

    @property
    def is_limited_by_cost(self) -> bool:
        """Whether max_cost ends it before max_hours does."""
        return self._paid_seconds is not None and self._paid_seconds < self.cluster.max_hours * 3600

    @property
    def _paid_seconds(self) -> float | None:
        return cost_limit.paid_seconds(self.cluster, self.config.storage.kms_key, self.images or 0)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of all its resources."""
        return {
            **self.cluster.tags,
            f"{TAG}owner": _tag(self.owner),
            f"{TAG}purpose": _tag(self.cluster.purpose),
            EXPIRES: datetime.fromtimestamp(self.expires, UTC).strftime(_TIME),
            RUN: self.id,
        }

    def token(self, *parts: str) -> str:
        """Return the client token of a request, which makes it idempotent."""
        return f"{self.id}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"

    def store(self) -> S3Store:
        """Open its folder in the staging area."""
        return S3Store(self.uri, self.config.storage)

    def save(self) -> None:
        """Write launch.json, so that the launch can be found again. Call it before creating anything."""
        values = {
            "id": self.id,
            "created": self.created,
            "owner": self.owner,
            "images": self.images,
            "expires": self.expires,
            "config": self.config.model_dump(mode="json"),
        }
        self.store().write(RECORD, (json.dumps(values, indent=2) + "\n").encode())


def new(config: Config, images: int | None = None) -> Launch:
    """Return a new launch of a settled config, for a number of photos if it is known; creates nothing."""
    assert config.cluster is not None
    return Launch(new_id(), config, time.time(), config.cluster.owner or getpass.getuser(), images)


def find(config: Config, launch_id: str | None = None) -> Launch:
    """Return a launch by id, or the latest one of this config's output. Raises ClusterError if there is none."""
    store = S3Store(staging_uri(config), config.storage)
    if launch_id is not None:
        return _read(store, launch_id)
    found = (
        _read(store, name.split("/")[1]) for name in sorted(store.names("runs/"), reverse=True) if name.endswith(RECORD)
    )
    for launch in found:
        if launch.config.output.uri == config.output.uri or not config.output.uri:
            return launch
    raise ClusterError(
        f"Nothing was launched for {config.output.uri or staging_uri(config)}.", "Launch it: fruitscale run --config …"
    )


def expiry(tags: dict[str, str]) -> float | None:
    """Return the expiry in a resource's tags, in seconds since 1970; None if it is not fruitscale's."""
    if RUN not in tags or EXPIRES not in tags:
        return None
    try:
        return datetime.strptime(tags[EXPIRES], _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0  # ours but damaged: only reap can end it


def staging_uri(config: Config) -> str:
    """Return storage.staging_uri, which must be set, without a trailing slash."""
    assert config.storage.staging_uri is not None
    return config.storage.staging_uri.rstrip("/")


def _read(store: S3Store, launch_id: str) -> Launch:
    try:
        values = json.loads(store.read(f"runs/{launch_id}/{RECORD}"))
        return Launch(
            values["id"], from_mapping(values["config"]), values["created"], values["owner"], values.get("images")
        )
    except MissingObjectError:
        raise ClusterError(
            f"There is no launch {launch_id} in {store.uri}.",
            "Use the id that fruitscale run printed, or none for the latest launch.",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ClusterError(
            f"{store.uri}/runs/{launch_id}/{RECORD} is damaged.",
            "List leftover resources: fruitscale cluster reap --dry-run --config …",
        ) from None


def _tag(value: str) -> str:
    """Return a tag value that every AWS service accepts."""
    return re.sub(r"[^A-Za-z0-9_ .:/=+@-]", "-", value)[:256]
