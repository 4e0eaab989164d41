"""Ends expired leftovers of launches: every resource in the region with fruitscale's tags and a past expiry."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from fruitscale.clusters import emr, emr_serverless
from fruitscale.clusters.ec2_dask import ALIVE, end_machines, remove_group
from fruitscale.clusters.launch import EXPIRES, KEYS, RECORD, RUN, expiry
from fruitscale.config.schema import Config, Storage
from fruitscale.errors import ClusterError, FruitscaleError, MissingObjectError
from fruitscale.storage import aws, residency
from fruitscale.storage.s3 import S3Store

PREFIX = "fruitscale-"
OF_EMR = "aws:elasticmapreduce:job-flow-id"
"""A tag of EMR's own machines, which have the tags of their cluster too."""
YOUNG = timedelta(minutes=15)
"""Untagged resources younger than this may belong to a launch in progress."""


@dataclass(frozen=True)
class ExpiredResource:
    """An expired resource of a launch; `problem` is the reason it could not be ended, else None.

    `left` is the reason it was left alone: we have no permission to describe it, so it is most likely someone else's, or
    machines that may need it could not be ended.
    """

    what: str
    id: str
    run: str
    expired: str | None
    problem: str | None = None
    left: str | None = None


@dataclass(frozen=True)
class _Removal:
    resource: ExpiredResource
    end: Callable[[], object]


@dataclass
class _Look:
    """One pass over a region. `held`: launches whose machines were not ended; `unlisted`: kinds that could not be listed."""

    storage: Storage
    held: set[str] = field(default_factory=set)
    unlisted: dict[str, str] = field(default_factory=dict)

    def reason_to_keep(self, run: str) -> str | None:
        """Return why resources that a launch's machines may need must be kept, or None."""
        if run in self.held:
            return "its machines were not ended"
        kind = _machines_of(_record(self.storage, run))
        unlisted = [name for name in self.unlisted if kind in (name, None)]
        return f"{unlisted[0]} could not be listed" if unlisted else None


_Found: TypeAlias = "Iterator[_Removal | ExpiredResource]"


def reap(config: Config, *, dry_run: bool = False) -> list[ExpiredResource]:
    """End the expired resources in a config's region (with `dry_run`, only find them); return them.

    A resource that could not be ended, or a kind that could not be listed, is returned with its `problem`; one that
    we have no permission to describe is `left` alone, and so is what its machines may need.
    """
    look, done = _Look(residency.settle(config.storage)), []
    for kind, find in FINDERS.items():
        try:
            found = list(find(look.storage))
        except FruitscaleError as error:
            look.unlisted[kind] = error.message
            done.append(ExpiredResource(kind, "", "", None, error.message))
            continue
        done += [_settle(look, each, dry_run=dry_run, is_machines=kind in _KINDS.values()) for each in found]
    return done


def _settle(look: _Look, found: _Removal | ExpiredResource, *, dry_run: bool, is_machines: bool) -> ExpiredResource:
    """End a resource, unless machines that were not ended may need it; return it with the result."""
    resource = found if isinstance(found, ExpiredResource) else found.resource
    try:
        if isinstance(found, _Removal) and (is_machines or not (reason := look.reason_to_keep(resource.run))):
            if not dry_run:
                found.end()
        elif isinstance(found, _Removal):
            resource = replace(resource, left=reason)
    except FruitscaleError as error:
        resource = replace(resource, problem=error.message)
    if is_machines and (resource.problem or resource.left):
        look.held.add(resource.run)
    return resource


def _look_at(
    what: str, listed_id: str, name: str, tags: Callable[[], dict[str, str]], end: Callable[[], object]
) -> _Found:
    """Yield the removal of a resource with our name if it has expired, or the reason why it is left alone."""
    run = name.removeprefix(PREFIX)
    try:
        found = tags()
    except ClusterError as error:
        if not aws.is_absent(error):
            denied = aws.is_denied(error)
            reason = (
                {"left": f"no permission to describe it: {error.message}"} if denied else {"problem": error.message}
            )
            yield ExpiredResource(what, listed_id, run, None, **reason)
        return
    if _is_past(found):
        yield _Removal(ExpiredResource(what, listed_id, found[RUN], found[EXPIRES]), end)


def _machines(storage: Storage) -> _Found:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]
    reservations = list(aws.pages(ec2, "describe_instances", "Reservations", Filters=filters))
    runs: dict[str, dict[str, str]] = {}
    for listed in (instance for reservation in reservations for instance in reservation["Instances"]):
        tags = aws.tag_dict(listed["Tags"])
        if _is_past(tags) and OF_EMR not in tags:  # EMR ends its own
            runs.setdefault(tags[RUN], tags)
    for run, tags in runs.items():
        yield _Removal(ExpiredResource("EC2 machines", run, run, tags[EXPIRES]), partial(end_machines, ec2, RUN, run))


def _clusters(storage: Storage) -> _Found:
    service = aws.client("emr", storage)

    def tags(cluster_id: str) -> dict[str, str]:
        described = aws.ask(service, "describe_cluster", ClusterId=cluster_id)["Cluster"]
        return aws.tag_dict(described.get("Tags", []))

    for listed in list(aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))):
        cluster_id, name = listed["Id"], listed.get("Name") or ""
        if name.startswith(PREFIX):
            end = partial(emr.end_cluster, service, cluster_id)
            yield from _look_at("EMR cluster", cluster_id, name, partial(tags, cluster_id), end)


def _applications(storage: Storage) -> _Found:
    service = aws.client("emr-serverless", storage)

    def tags(application: str) -> dict[str, str]:
        found = aws.ask(service, "get_application", applicationId=application)["application"]
        return dict(found.get("tags", {}))

    states = list(emr_serverless.ALIVE)
    for listed in list(aws.pages(service, "list_applications", "applications", states=states)):
        application, name = listed["id"], listed.get("name") or ""
        if name.startswith(PREFIX):
            end = partial(emr_serverless.end_all, service, application)
            yield from _look_at("EMR Serverless application", application, name, partial(tags, application), end)


def _groups(storage: Storage) -> _Found:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}]
    for listed in list(aws.pages(ec2, "describe_security_groups", "SecurityGroups", Filters=filters)):
        tags = aws.tag_dict(listed["Tags"])
        if _is_past(tags):
            found = ExpiredResource("security group", listed["GroupId"], tags[RUN], tags[EXPIRES])
            yield _Removal(found, partial(remove_group, ec2, listed["GroupId"]))


def _volumes(storage: Storage) -> _Found:
    ec2 = aws.client("ec2", storage)
    filters = [{"Name": "tag-key", "Values": [RUN]}, {"Name": "status", "Values": ["available"]}]
    for listed in list(aws.pages(ec2, "describe_volumes", "Volumes", Filters=filters)):
        tags = aws.tag_dict(listed["Tags"])
        if _is_past(tags):
            found = ExpiredResource("disk", listed["VolumeId"], tags[RUN], tags[EXPIRES])
            yield _Removal(found, partial(aws.ask, ec2, "delete_volume", VolumeId=listed["VolumeId"]))


def _configurations(storage: Storage) -> _Found:
    """Yield EMR security configurations with our name prefix and no live cluster (they have no tags)."""
    service = aws.client("emr", storage)
    alive = {each["Name"] for each in aws.pages(service, "list_clusters", "Clusters", ClusterStates=list(emr.ALIVE))}
    for listed in list(aws.pages(service, "list_security_configurations", "SecurityConfigurations")):
        name = listed["Name"]
        if not name.startswith(PREFIX) or name in alive:
            continue
        run = name.removeprefix(PREFIX)
        found = ExpiredResource("EMR security configuration", name, run, None)
        try:
            expires = _expires(storage, run)
        except FruitscaleError as error:
            yield replace(found, left=error.message)
            continue
        if expires < time.time() if expires else datetime.now(UTC) - listed["CreationDateTime"] > YOUNG:
            yield _Removal(found, partial(emr.remove_configuration, service, name))


def _keys(storage: Storage) -> _Found:
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
        found = ExpiredResource("keys", f"{store.uri}/runs/{run}/{KEYS}", run, None)
        try:
            if (_expires(storage, run) or 0.0) < time.time():
                yield _Removal(found, partial(_delete, store, names))
        except FruitscaleError as error:
            yield replace(found, left=error.message)


def _expires(storage: Storage, run: str) -> float | None:
    """Return a launch's expiry from its launch.json, in seconds since 1970; None if there is none. Raises StorageError."""
    record = _record(storage, run)
    try:
        if "expires" in record:
            return float(record["expires"])
        return float(record["created"] + record["config"]["cluster"]["max_hours"] * 3600)
    except (ValueError, KeyError, TypeError):
        return None


def _record(storage: Storage, run: str) -> dict[str, Any]:
    """Return the launch.json of a launch; empty if there is none, or if it is damaged. Raises StorageError."""
    if storage.staging_uri is None:
        return {}
    try:
        found = json.loads(S3Store(storage.staging_uri, storage).read(f"runs/{run}/{RECORD}"))
    except (MissingObjectError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _machines_of(record: dict[str, Any]) -> str | None:
    """Return which of FINDERS finds the machines of a launch, by its launch.json; None if that doesn't have the kind."""
    try:
        return _KINDS.get(record["config"]["cluster"]["kind"])
    except (KeyError, TypeError):
        return None


def _delete(store: S3Store, names: list[str]) -> None:
    for name in names:
        store.delete(name)


def _is_past(tags: dict[str, str]) -> bool:
    expires = expiry(tags)
    return expires is not None and expires < time.time()


_KINDS: Mapping[str, str] = MappingProxyType(
    {"ec2-dask": "EC2 machines", "emr": "EMR clusters", "emr-serverless": "EMR Serverless applications"}
)
"""By kind of cluster, the finder of its machines."""
FINDERS: Mapping[str, Callable[[Storage], _Found]] = MappingProxyType(
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
