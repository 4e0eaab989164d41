"""Ends expired leftovers of launches: every resource in the region with fruitscale's tags and a past expiry."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType

from fruitscale.clusters import emr, emr_serverless
from fruitscale.clusters.ec2_dask import ALIVE, end_machines, remove_group
from fruitscale.clusters.launch import EXPIRES, KEYS, RECORD, RUN, expiry
from fruitscale.config.schema import Config, Storage
from fruitscale.errors import FruitscaleError
from fruitscale.storage import aws, residency
from fruitscale.storage.s3 import S3Store

PREFIX = "fruitscale-"
YOUNG = timedelta(minutes=15)
"""Untagged resources younger than this may belong to a launch in progress."""


@dataclass(frozen=True)
class ExpiredResource:
    """An expired resource of a launch; `problem` is the reason it could not be ended, else None."""

    what: str
    id: str
    run: str
    expired: str | None
    problem: str | None = None


@dataclass(frozen=True)
class _Removal:
    resource: ExpiredResource
    end: Callable[[], object]


def reap(config: Config, *, dry_run: bool = False) -> list[ExpiredResource]:
    """End the expired resources in a config's region (with `dry_run`, only find them); return them.

    A resource that could not be ended, or a kind that could not be listed, is returned with its `problem`.
    """
    storage, done = residency.settle(config.storage), []
    for kind, find in FINDERS.items():
        try:
            found = list(find(storage))
        except FruitscaleError as error:
            done.append(ExpiredResource(kind, "", "", None, error.message))
            continue
        done += [removal.resource if dry_run else _end(removal) for removal in found]
    return done


def _end(removal: _Removal) -> ExpiredResource:
    try:
        removal.end()
    except FruitscaleError as error:
        return replace(removal.resource, problem=error.message)
    return removal.resource


def _machines(storage: Storage) -> Iterator[_Removal]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    reservations = list(aws.pages(ec2, "describe_instances", "Reservations", Filters=filters))
    runs: dict[str, dict[str, str]] = {}
    for listed in (instance for reservation in reservations for instance in reservation["Instances"]):
        tags = aws.tag_dict(listed["Tags"])
        if _is_past(tags):
            runs.setdefault(tags[RUN], tags)
    for run, tags in runs.items():
        yield _Removal(ExpiredResource("EC2 machines", run, run, tags[EXPIRES]), partial(end_machines, ec2, RUN, run))


def _clusters(storage: Storage) -> Iterator[_Removal]:
    service = aws.client("emr", storage)
    for listed in list(aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))):
        tags = aws.tag_dict(aws.ask(service, "describe_cluster", ClusterId=listed["Id"])["Cluster"].get("Tags", []))
        if _is_past(tags):
            found = ExpiredResource("EMR cluster", listed["Id"], tags[RUN], tags[EXPIRES])
            yield _Removal(found, partial(emr.end_cluster, service, listed["Id"]))


def _applications(storage: Storage) -> Iterator[_Removal]:
    service = aws.client("emr-serverless", storage)
    states = list(emr_serverless.ALIVE)
    for listed in list(aws.pages(service, "list_applications", "applications", states=states)):
        application = aws.ask(service, "get_application", applicationId=listed["id"])["application"]
        tags: dict[str, str] = application.get("tags", {})
        if _is_past(tags):
            found = ExpiredResource("EMR Serverless application", listed["id"], tags[RUN], tags[EXPIRES])
            yield _Removal(found, partial(emr_serverless.end_all, service, listed["id"]))


def _groups(storage: Storage) -> Iterator[_Removal]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}]
    for listed in list(aws.pages(ec2, "describe_security_groups", "SecurityGroups", Filters=filters)):
        tags = aws.tag_dict(listed["Tags"])
        if _is_past(tags):
            found = ExpiredResource("security group", listed["GroupId"], tags[RUN], tags[EXPIRES])
            yield _Removal(found, partial(remove_group, ec2, listed["GroupId"]))


def _volumes(storage: Storage) -> Iterator[_Removal]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "status", "Values": ["available"]}]
    for listed in list(aws.pages(ec2, "describe_volumes", "Volumes", Filters=filters)):
        tags = aws.tag_dict(listed["Tags"])
        if _is_past(tags):
            found = ExpiredResource("disk", listed["VolumeId"], tags[RUN], tags[EXPIRES])
            yield _Removal(found, partial(aws.ask, ec2, "delete_volume", VolumeId=listed["VolumeId"]))


def _configurations(storage: Storage) -> Iterator[_Removal]:
    """Yield EMR security configurations with our name prefix and no live cluster (they have no tags)."""
    service = aws.client("emr", storage)
    alive = {each["Name"] for each in aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))}
    for listed in list(aws.pages(service, "list_security_configurations", "SecurityConfigurations")):
        name = listed["Name"]
        if not name.startswith(PREFIX) or name in alive:
            continue
        expires = _expires(storage, name.removeprefix(PREFIX))
        if expires < time.time() if expires else datetime.now(UTC) - listed["CreationDateTime"] > YOUNG:
            found = ExpiredResource("EMR security configuration", name, name.removeprefix(PREFIX), None)
            yield _Removal(found, partial(emr.remove_configuration, service, name))


def _keys(storage: Storage) -> Iterator[_Removal]:
    """Yield the TLS keys of expired launches."""
    if storage.staging_uri is None:
        return
    store = S3Store(storage.staging_uri, storage)
    folders: dict[str, list[str]] = {}
    for name in store.names("runs/"):
        _, run, rest = name.split("/", 2)
        if rest.startswith(f"{KEYS}/"):
            folders.setdefault(run, []).append(name)
    for run, names in folders.items():
        if (_expires(storage, run) or 0.0) < time.time():
            yield _Removal(
                ExpiredResource("keys", f"{store.uri}/runs/{run}/{KEYS}", run, None), partial(_delete, store, names)
            )


def _expires(storage: Storage, run: str) -> float | None:
    """Return a launch's expiry from its launch.json, in seconds since 1970; None if unknown."""
    if storage.staging_uri is None:
        return None
    try:
        record = json.loads(S3Store(storage.staging_uri, storage).read(f"runs/{run}/{RECORD}"))
        return float(record["created"] + record["config"]["cluster"]["max_hours"] * 3600)
    except (FruitscaleError, ValueError, KeyError, TypeError):
        return None


def _delete(store: S3Store, names: list[str]) -> None:
    for name in names:
        store.delete(name)


def _is_past(tags: dict[str, str]) -> bool:
    expires = expiry(tags)
    return expires is not None and expires < time.time()


FINDERS: Mapping[str, Callable[[Storage], Iterator[_Removal]]] = MappingProxyType(
    {
        "EC2 machines": _machines,
        "EMR clusters": _clusters,
        "EMR Serverless applications": _applications,
        "security groups": _groups,
        "disks": _volumes,
        "EMR security configurations": _configurations,
        "keys": _keys,
    }
)
"""Machines first: groups, disks and keys can be removed only after them."""
