"""AWS's partitions (commercial, China, GovCloud, European Sovereign Cloud, …), from botocore's own data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

COMMERCIAL = "aws"
ENDPOINT_PREFIX = "com.amazonaws"
"""Of the names of VPC endpoint services; botocore has no data on those of other partitions."""


@dataclass(frozen=True)
class Partition:
    """A partition: its name in ARNs, its DNS suffix, and the region for which requests to IAM are signed."""

    name: str
    dns_suffix: str
    global_region: str


@cache
def partition_of(region: str) -> Partition:
    """Return the partition of a region; the commercial one if it is not a region of AWS, as in AWS's SDKs."""
    found = next((each["id"] for each in _data() if re.match(each["regionRegex"], region)), COMMERCIAL)
    return _every()[found]


def is_aws_host(url: str) -> bool:
    """Return whether a URL is that of an AWS service, in any partition."""
    host = urlsplit(url).hostname or ""
    return any(host.endswith(f".{partition.dns_suffix}") for partition in _every().values())


def service_domain(region: str, service: str = "") -> str:
    """Return the domain in the name of a service's principal, as in trust policies.

    That is the commercial suffix in every partition, except for EMR in China.
    """
    partition = partition_of(region)
    is_own = service == "elasticmapreduce" and partition.name == "aws-cn"
    return (partition if is_own else _every()[COMMERCIAL]).dns_suffix


@cache
def _every() -> dict[str, Partition]:
    outputs = [(each["id"], each["outputs"]) for each in _data()]
    return {name: Partition(name, each["dnsSuffix"], each["implicitGlobalRegion"]) for name, each in outputs}


@cache
def _data() -> list[dict[str, Any]]:
    """Return the data with which botocore chooses endpoints; its list of regions is large, and takes 0.1 s to read."""
    import botocore.session

    found: list[dict[str, Any]] = botocore.session.get_session().get_data("partitions")["partitions"]
    return found
