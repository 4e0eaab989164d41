"""Finds what launches left: everything in the region with our tags that is past its expiry, and ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fruitscale.clusters import aws, emr, emr_serverless
from fruitscale.clusters.ec2_dask import ALIVE, end_machines, remove_group
from fruitscale.clusters.launch import EXPIRES, KEYS, RECORD, RUN, expiry
from fruitscale.config import Config, Storage
from fruitscale.errors import FruitscaleError
from fruitscale.storage.s3 import S3Store

PREFIX = "fruitscale-"
YOUNG = timedelta(minutes=15)
"""What has no tags, and is younger, may belong to a launch that is just being made."""


@dataclass(frozen=True)
class Found:
    """Something of a launch that is past its end. `problem` tells why it could not be ended; None: it was, or would be."""

    what: str
    id: str
    run: str
    expired: str | None
    problem: str | None = None


@dataclass(frozen=True)
class _Left:
    found: Found
    end: Callable[[], object]


def reap(config: Config, *, dry_run: bool = False) -> list[Found]:
    """End what is past its expiry, in the region of a settled config; return what that was. Raises ClusterError."""
    done = []
    for left in _left(config):
        found = left.found
        if not dry_run:
            try:
                left.end()
            except FruitscaleError as error:
                found = Found(found.what, found.id, found.run, found.expired, error.message)
        done.append(found)
    return done


def _left(config: Config) -> Iterator[_Left]:
    """Yield what is left, machines first: what they use can go only after them."""
    storage = config.storage
    yield from _machines(storage)
    yield from _clusters(storage)
    yield from _applications(storage)
    yield from _groups(storage)
    yield from _volumes(storage)
    yield from _configurations(storage)
    if storage.staging_uri is not None:
        yield from _keys(S3Store(storage.staging_uri, storage))


def _machines(storage: Storage) -> Iterator[_Left]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    reservations = list(aws.pages(ec2, "describe_instances", "Reservations", Filters=filters))
    runs = {}
    for told in (instance for reservation in reservations for instance in reservation["Instances"]):
        tags = aws.tag_dict(told["Tags"])
        if _is_past(tags):
            runs.setdefault(tags[RUN], tags)
    for run, tags in runs.items():
        yield _Left(Found("EC2 machines", run, run, tags[EXPIRES]), lambda run=run: end_machines(ec2, RUN, run))  # type: ignore[misc]


def _clusters(storage: Storage) -> Iterator[_Left]:
    service = aws.client("emr", storage)
    for told in list(aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))):
        tags = aws.tag_dict(aws.ask(service, "describe_cluster", ClusterId=told["Id"])["Cluster"].get("Tags", []))
        if _is_past(tags):
            found = Found("EMR cluster", told["Id"], tags[RUN], tags[EXPIRES])
            yield _Left(found, lambda told=told: emr.end_cluster(service, told["Id"]))  # type: ignore[misc]


def _applications(storage: Storage) -> Iterator[_Left]:
    service = aws.client("emr-serverless", storage)
    states = list(emr_serverless.ALIVE)
    for told in list(aws.pages(service, "list_applications", "applications", states=states)):
        asked = aws.ask(service, "get_application", applicationId=told["id"])["application"]
        tags: dict[str, str] = asked.get("tags", {})
        if _is_past(tags):
            found = Found("EMR Serverless application", told["id"], tags[RUN], tags[EXPIRES])
            yield _Left(found, lambda told=told: emr_serverless.end_all(service, told["id"]))  # type: ignore[misc]


def _groups(storage: Storage) -> Iterator[_Left]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}]
    for told in list(aws.pages(ec2, "describe_security_groups", "SecurityGroups", Filters=filters)):
        tags = aws.tag_dict(told["Tags"])
        if _is_past(tags):
            found = Found("security group", told["GroupId"], tags[RUN], tags[EXPIRES])
            yield _Left(found, lambda told=told: remove_group(ec2, told["GroupId"]))  # type: ignore[misc]


def _volumes(storage: Storage) -> Iterator[_Left]:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "status", "Values": ["available"]}]
    for told in list(aws.pages(ec2, "describe_volumes", "Volumes", Filters=filters)):
        tags = aws.tag_dict(told["Tags"])
        if _is_past(tags):
            found = Found("disk", told["VolumeId"], tags[RUN], tags[EXPIRES])
            yield _Left(found, lambda told=told: aws.ask(ec2, "delete_volume", VolumeId=told["VolumeId"]))  # type: ignore[misc]


def _configurations(storage: Storage) -> Iterator[_Left]:
    """Yield security configurations of EMR, which have no tags: those named as ours, whose cluster isn't alive."""
    service = aws.client("emr", storage)
    alive = {each["Name"] for each in aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))}
    for told in list(aws.pages(service, "list_security_configurations", "SecurityConfigurations")):
        name = told["Name"]
        old = datetime.now(UTC) - told["CreationDateTime"] > YOUNG
        if name.startswith(PREFIX) and name not in alive and old:
            found = Found("EMR security configuration", name, name.removeprefix(PREFIX), None)
            yield _Left(found, lambda name=name: emr.remove_configuration(service, name))  # type: ignore[misc]


def _keys(store: S3Store) -> Iterator[_Left]:
    """Yield the keys of launches that are over."""
    import json

    folders: dict[str, list[str]] = {}
    for name in store.names("runs/"):
        _, run, rest = name.split("/", 2)
        if rest.startswith(f"{KEYS}/"):
            folders.setdefault(run, []).append(name)
    for run, names in folders.items():
        try:
            told = json.loads(store.read(f"runs/{run}/{RECORD}"))
            expires = told["created"] + told["config"]["cluster"]["max_hours"] * 3600
        except (FruitscaleError, ValueError, KeyError, TypeError):
            expires = 0.0
        if expires < time.time():
            yield _Left(
                Found("keys", f"{store.uri}/runs/{run}/{KEYS}", run, None), lambda names=names: _delete(store, names)
            )  # type: ignore[misc]


def _delete(store: S3Store, names: list[str]) -> None:
    for name in names:
        store.delete(name)


def _is_past(tags: dict[str, str]) -> bool:
    expires = expiry(tags)
    return expires is not None and expires < time.time()
