"""The IAM policies that fruitscale ships, and the values that fill in their blanks for a config."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from fruitscale.config.cluster_section import EmrServerless
from fruitscale.config.schema import Config
from fruitscale.storage import residency
from fruitscale.storage.partitions import partition_of, service_domain
from fruitscale.uris import is_s3, parse_s3

BLANK = re.compile(r"\b[A-Z]+(?:_[A-Z]+)*\b")
BLANKS = (
    "PARTITION", "REGION", "ACCOUNT", "DOMAIN", "SERVICE_DOMAIN", "EMR_DOMAIN", "INPUT_BUCKET", "INPUT_PREFIX",
    "INPUT_LIST", "OUTPUT_BUCKET", "OUTPUT_PREFIX", "STAGING_BUCKET", "STAGING_PREFIX", "LOG_BUCKET", "LOG_PREFIX",
    "STORAGE_KEY", "DISK_KEY", "WORKER_ROLE", "EMR_ROLE", "VPC_ID",
)  # fmt: skip
"""The blanks of the documents: names in capitals. `STORAGE_KEY` and `DISK_KEY` are ARNs, `INPUT_LIST` is BUCKET/KEY."""
EMR_MANAGED = "service-role/AmazonEMRServicePolicy_v2"
"""AWS's own policy for EMR's role; its ARN is `arn:PARTITION:iam::aws:policy/` and this."""
Values = Mapping[str, str | None]


def names() -> list[str]:
    """Return the names of the documents."""
    return sorted(path.name.removesuffix(".json") for path in _folder().iterdir() if path.name.endswith(".json"))


def template(name: str) -> dict[str, Any]:
    """Return a document with its blanks."""
    found: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text())
    return found


def filled(name: str, values: Values) -> dict[str, Any]:
    """Return a document with its blanks filled in. Raises KeyError for a blank that `values` lacks.

    None means that something (such as a key) does not exist: resources that contain the blank are left out, and so are
    statements without other resources, or with the blank in a condition. An empty prefix means the whole bucket.
    """
    document = template(name)
    document["Statement"] = [s for each in document["Statement"] if (s := _statement(each, values)) is not None]
    return document


def values_of(config: Config, account: str, *, vpc: str | None = None) -> dict[str, str | None]:
    """Return the values of the blanks for a config, whose storage need not be settled.

    `VPC_ID` is None without `vpc`, roles and keys that the config doesn't name are None. Raises UsageError without a region.
    """
    region = residency.settle(config.storage).region
    assert region is not None
    staging = config.storage.staging_uri
    cluster = config.cluster
    logs = cluster.log_uri if cluster is not None and cluster.log_uri else staging and f"{staging.rstrip('/')}/logs"
    places = {"INPUT": config.input.uri, "OUTPUT": config.output.uri, "STAGING": staging, "LOG": logs}
    listed = config.input.list
    worker = None
    if cluster is not None:
        worker = cluster.execution_role if isinstance(cluster, EmrServerless) else cluster.instance_profile
    return {
        **blanks_of_region(region),
        "ACCOUNT": account,
        **{name: value for place, uri in places.items() for name, value in _place(place, uri).items()},
        "INPUT_LIST": "/".join(parse_s3(listed)) if listed and is_s3(listed) else None,
        "STORAGE_KEY": config.storage.kms_key,
        "DISK_KEY": cluster.disk_key if cluster is not None else None,
        "WORKER_ROLE": worker.rpartition("/")[2] if worker else None,
        "EMR_ROLE": getattr(cluster, "service_role", None),
        "VPC_ID": vpc,
    }


def blanks_of_region(region: str) -> dict[str, str]:
    """Return the blanks that follow from the region."""
    partition = partition_of(region)
    return {
        "PARTITION": partition.name,
        "REGION": region,
        "DOMAIN": partition.dns_suffix,
        "SERVICE_DOMAIN": service_domain(region),
        "EMR_DOMAIN": service_domain(region, "elasticmapreduce"),
    }


def _place(name: str, uri: str | None) -> dict[str, str | None]:
    bucket, prefix = parse_s3(uri) if uri and is_s3(uri) else (None, None)
    return {f"{name}_BUCKET": bucket, f"{name}_PREFIX": prefix}


def _statement(statement: Mapping[str, Any], values: Values) -> dict[str, Any] | None:
    """Return a statement without blanks, or None if nothing is left of it."""
    found = dict(statement)
    for key in ("Resource", "Principal", "Condition"):
        if key in statement:
            found[key] = _fill(statement[key], values)
            if found[key] is None or found[key] == []:
                return None
    return found


def _fill(value: Any, values: Values) -> Any:  # noqa: ANN401  parts of a JSON document
    """Return a part of a document without blanks; None if it needs something that does not exist."""
    if isinstance(value, str):
        return _text(value, values)
    if isinstance(value, list):
        return list(dict.fromkeys(text for each in value if (text := _fill(each, values)) is not None))
    if isinstance(value, Mapping):
        made = {key: _fill(each, values) for key, each in value.items()}
        return None if any(each is None for each in made.values()) else made
    return value


def _text(text: str, values: Values) -> str | None:
    found = {blank: values[blank] for blank in BLANK.findall(text) if blank in BLANKS}
    if any(value is None for value in found.values()):
        return None
    for blank in [blank for blank, value in found.items() if value == ""]:
        text = text.replace(f"/{blank}", "")
    return BLANK.sub(lambda match: found.get(match[0]) or match[0], text)


def _folder() -> Any:  # noqa: ANN401  a path, or one within a zip file
    return resources.files("fruitscale.gdpr") / "policies"
