"""Finds ARNs of another kind, region or partition than a launch needs, without AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fruitscale.clusters.check_results import ConfigProblem
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError
from fruitscale.storage import residency
from fruitscale.storage.partitions import partition_of

KEY = re.compile(r"arn:[\w-]+:kms:([\w-]+):\d{12}:key/[\w-]+")


def find(config: Config) -> Iterator[ConfigProblem]:
    """Yield the problems of a config with a cluster."""
    yield from _keys(config)
    yield from _partitions(config)


def machines_region(config: Config) -> str | None:
    """Return the region of the machines; None if it is not set or not allowed."""
    try:
        storage = residency.settle(config.storage)
    except UsageError:
        return None
    return storage.region if storage.region in storage.allowed_regions else None


def _partitions(config: Config) -> Iterator[ConfigProblem]:
    """Yield the ARNs of another partition of AWS than the machines' region."""
    cluster, region = config.cluster, machines_region(config)
    if region is None:
        return
    partition = partition_of(region).name
    arns = {"storage.kms_key": config.storage.kms_key}
    for name in ("disk_key", "service_role", "instance_profile", "execution_role"):
        arns[f"cluster.{name}"] = getattr(cluster, name, None)
    for key, arn in arns.items():
        if arn and arn.startswith("arn:") and arn.split(":")[1] != partition:
            yield ConfigProblem(
                f"{key} is {arn}, but ARNs in {region} begin with arn:{partition}:.", f"Use an ARN of {partition}."
            )


def _keys(config: Config) -> Iterator[ConfigProblem]:
    """Yield the problems of KMS keys: EMR takes no alias, and a key encrypts only in its own region."""
    cluster, region = config.cluster, machines_region(config)
    assert cluster is not None
    for key, arn in (("cluster.disk_key", cluster.disk_key), ("storage.kms_key", config.storage.kms_key)):
        if arn is None:
            continue
        matched = KEY.fullmatch(arn)
        if matched is None:
            yield ConfigProblem(
                f"{key} is {arn}, which is not the ARN of a KMS key.",
                "It has the form arn:…:kms:REGION:ACCOUNT:key/ID.",
            )
        elif region and matched[1] != region:
            yield ConfigProblem(
                f"{key} is a key in {matched[1]}, but the machines are in {region}.", f"Use a key in {region}."
            )
