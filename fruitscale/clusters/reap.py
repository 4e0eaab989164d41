"""Finds what launches left: everything in the region with our tags that is past its expiry, and ends it."""

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
from fruitscale.storage import aws
from fruitscale.storage.s3 import S3Store

PREFIX = "fruitscale-"
YOUNG = timedelta(minutes=15)
"""What has no tags, and is younger, may belong to a launch that is just being made."""


@dataclass(frozen=True)
class ExpiredResource:
    """Something of a launch that is past its end. `problem` tells why it could not be ended; None: it was, or would be."""

    what: str
    id: str
    run: str
    expired: str | None
    problem: str | None = None


@dataclass(frozen=True)
class _ResourceKind:
    found: ExpiredResource
    end: Callable[[], object]


def reap(config: Config, *, dry_run: bool = False) -> list[ExpiredResource]:
    """End what is past its expiry, in the region of a settled config; return what that was, and what could not be asked."""
    storage, done = config.storage, []
    for kind, look in LOOKS.items():
        try:
            found = list(look(storage))
        except FruitscaleError as error:
            done.append(ExpiredResource(kind, "", "", None, error.message))
            continue
        done += [left.found if dry_run else _ended(left) for left in found]
    return done


def _ended(left: _ResourceKind) -> ExpiredResource:
    try:
        left.end()
    except FruitscaleError as error:
        return replace(left.found, problem=error.message)
    return left.found


def _machines(storage: Storage) -> Iterator[_ResourceKind]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    reservations = list(aws.pages(ec2, "describe_instances", "Reservations", Filters=filters))
    runs: dict[str, dict[str, str]] = {}
    for told in (instance for reservation in reservations for instance in reservation["Instances"]):
        tags = aws.tag_dict(told["Tags"])
        if _is_past(tags):
            runs.setdefault(tags[RUN], tags)
    for run, tags in runs.items():
        yield _ResourceKind(
            ExpiredResource("EC2 machines", run, run, tags[EXPIRES]), partial(end_machines, ec2, RUN, run)
        )


def _clusters(storage: Storage) -> Iterator[_ResourceKind]:
    service = aws.client("emr", storage)
    for told in list(aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))):
        tags = aws.tag_dict(aws.ask(service, "describe_cluster", ClusterId=told["Id"])["Cluster"].get("Tags", []))
        if _is_past(tags):
            found = ExpiredResource("EMR cluster", told["Id"], tags[RUN], tags[EXPIRES])
            yield _ResourceKind(found, partial(emr.end_cluster, service, told["Id"]))


def _applications(storage: Storage) -> Iterator[_ResourceKind]:
    service = aws.client("emr-serverless", storage)
    states = list(emr_serverless.ALIVE)
    for told in list(aws.pages(service, "list_applications", "applications", states=states)):
        asked = aws.ask(service, "get_application", applicationId=told["id"])["application"]
        tags: dict[str, str] = asked.get("tags", {})
        if _is_past(tags):
            found = ExpiredResource("EMR Serverless application", told["id"], tags[RUN], tags[EXPIRES])
            yield _ResourceKind(found, partial(emr_serverless.end_all, service, told["id"]))


def _groups(storage: Storage) -> Iterator[_ResourceKind]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}]
    for told in list(aws.pages(ec2, "describe_security_groups", "SecurityGroups", Filters=filters)):
        tags = aws.tag_dict(told["Tags"])
        if _is_past(tags):
            found = ExpiredResource("security group", told["GroupId"], tags[RUN], tags[EXPIRES])
            yield _ResourceKind(found, partial(remove_group, ec2, told["GroupId"]))


def _volumes(storage: Storage) -> Iterator[_ResourceKind]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "status", "Values": ["available"]}]
    for told in list(aws.pages(ec2, "describe_volumes", "Volumes", Filters=filters)):
        tags = aws.tag_dict(told["Tags"])
        if _is_past(tags):
            found = ExpiredResource("disk", told["VolumeId"], tags[RUN], tags[EXPIRES])
            yield _ResourceKind(found, partial(aws.ask, ec2, "delete_volume", VolumeId=told["VolumeId"]))


def _configurations(storage: Storage) -> Iterator[_ResourceKind]:
    """Yield security configurations of EMR, which have no tags: those named as ours, whose cluster isn't alive."""
    service = aws.client("emr", storage)
    alive = {each["Name"] for each in aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))}
    for told in list(aws.pages(service, "list_security_configurations", "SecurityConfigurations")):
        name = told["Name"]
        if not name.startswith(PREFIX) or name in alive:
            continue
        expires = _expires(storage, name.removeprefix(PREFIX))
        if expires < time.time() if expires else datetime.now(UTC) - told["CreationDateTime"] > YOUNG:
            found = ExpiredResource("EMR security configuration", name, name.removeprefix(PREFIX), None)
            yield _ResourceKind(found, partial(emr.remove_configuration, service, name))


def _keys(storage: Storage) -> Iterator[_ResourceKind]:
    """Yield the keys of launches that are over."""
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
            yield _ResourceKind(
                ExpiredResource("keys", f"{store.uri}/runs/{run}/{KEYS}", run, None), partial(_delete, store, names)
            )


def _expires(storage: Storage, run: str) -> float | None:
    """Return when a launch is over, by what it wrote of itself; None where that isn't known."""
    if storage.staging_uri is None:
        return None
    try:
        told = json.loads(S3Store(storage.staging_uri, storage).read(f"runs/{run}/{RECORD}"))
        return float(told["created"] + told["config"]["cluster"]["max_hours"] * 3600)
    except (FruitscaleError, ValueError, KeyError, TypeError):
        return None


def _delete(store: S3Store, names: list[str]) -> None:
    for name in names:
        store.delete(name)


def _is_past(tags: dict[str, str]) -> bool:
    expires = expiry(tags)
    return expires is not None and expires < time.time()


LOOKS: Mapping[str, Callable[[Storage], Iterator[_ResourceKind]]] = MappingProxyType(
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
"""Machines first: what they use can go only after them."""
