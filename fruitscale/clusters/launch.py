"""One launch: a run on machines that are made for it. Its names, its tags, its place in the staging area, its end."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

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
"""Where the keys of the run are, until its end."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Launch:
    """A launch: `config` is settled (its storage has a region), and has a cluster; `created` is in seconds since 1970."""

    id: str
    config: Config
    created: float
    owner: str

    @property
    def cluster(self) -> Emr | EmrServerless | Ec2Dask:
        """What is launched."""
        assert self.config.cluster is not None
        return self.config.cluster

    @property
    def region(self) -> str:
        """The region of everything."""
        assert self.config.storage.region is not None
        return self.config.storage.region

    @property
    def name(self) -> str:
        """What everything of it is called."""
        return f"fruitscale-{self.id}"

    @property
    def uri(self) -> str:
        """Where its own files are: under the staging area, apart from the run folder."""
        return f"{staging_uri(self.config)}/runs/{self.id}"

    @property
    def log_uri(self) -> str:
        """Where the logs of machines go."""
        return (self.cluster.log_uri or f"{staging_uri(self.config)}/logs").rstrip("/")

    @property
    def expires(self) -> float:
        """When its machines end, whatever happens."""
        return self.created + self.cluster.max_hours * 3600

    @property
    def tags(self) -> dict[str, str]:
        """What everything of it is tagged with."""
        return {
            **self.cluster.tags,
            f"{TAG}owner": _tag(self.owner),
            f"{TAG}purpose": _tag(self.cluster.purpose),
            EXPIRES: datetime.fromtimestamp(self.expires, UTC).strftime(_TIME),
            RUN: self.id,
        }

    def token(self, *parts: str) -> str:
        """Return the client token of a request: sent twice, it is done once."""
        return f"{self.id}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"

    def store(self) -> S3Store:
        """Open the place of its own files."""
        return S3Store(self.uri, self.config.storage)

    def save(self) -> None:
        """Write what is needed to find it again: before anything is made."""
        told = {
            "id": self.id,
            "created": self.created,
            "owner": self.owner,
            "config": self.config.model_dump(mode="json"),
        }
        self.store().write(RECORD, (json.dumps(told, indent=2) + "\n").encode())


def new(config: Config) -> Launch:
    """Begin a launch of a settled config."""
    assert config.cluster is not None
    return Launch(new_id(), config, time.time(), config.cluster.owner or getpass.getuser())


def find(config: Config, launch_id: str | None = None) -> Launch:
    """Return a launch by its id, or the newest one of this config's output. Raises ClusterError when there is none."""
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
    """Return when what has these tags expires; None when it isn't ours."""
    if RUN not in tags or EXPIRES not in tags:
        return None
    try:
        return datetime.strptime(tags[EXPIRES], _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0  # ours, and broken: nothing will end it but we


def staging_uri(config: Config) -> str:
    """Return the staging area of a config that has one."""
    assert config.storage.staging_uri is not None
    return config.storage.staging_uri.rstrip("/")


def _read(store: S3Store, launch_id: str) -> Launch:
    try:
        told = json.loads(store.read(f"runs/{launch_id}/{RECORD}"))
        return Launch(told["id"], from_mapping(told["config"]), told["created"], told["owner"])
    except MissingObjectError:
        raise ClusterError(f"There is no launch {launch_id} in {store.uri}.", "fruitscale run prints its id.") from None
    except (ValueError, KeyError, TypeError):
        raise ClusterError(
            f"{store.uri}/runs/{launch_id}/{RECORD} is damaged.", "See what is left: cluster reap"
        ) from None


def _tag(value: str) -> str:
    """Return a value that every service takes as a tag's."""
    return re.sub(r"[^\w .:/=+@-]", "-", value)[:256]
