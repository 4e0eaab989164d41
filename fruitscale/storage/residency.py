"""Where the store is: asked and checked before any object is listed, read or written. No answer, no run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fruitscale.config.schema import Storage
from fruitscale.errors import ResidencyError, UsageError
from fruitscale.storage import aws, credentials
from fruitscale.uris import parse_s3

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class Residency:
    """Where the store is, and how that is known: `rule` is checked or declared."""

    region: str
    endpoint: str | None
    place: str | None
    rule: str


@dataclass(frozen=True)
class BucketVerdict:
    """What is known of one bucket; `problem` is None when it is where it should be, `status` (HTTP) with no answer."""

    bucket: str
    region: str | None
    problem: str | None
    remedy: str = ""
    status: int | None = None


def settle(storage: Storage) -> Storage:
    """Return the storage settings with what the environment adds, so that workers need no environment.

    Raises UsageError when no region is said, or a place is declared without words.
    """
    endpoint = storage.endpoint or _from_environment(ENDPOINT_VARIABLES)
    region = storage.region or _from_environment(REGION_VARIABLES) or credentials.session().region_name
    if not region:
        raise UsageError(
            "storage.region is not set.", "Say in which AWS region the buckets are: --set storage.region=…"
        )
    if storage.residency == "declared" and not storage.place:
        raise UsageError(
            "storage.residency is declared, and storage.place doesn't say where the store is.",
            "Say it in words, as in --set storage.place='our own machines in Lyon'.",
        )
    return storage.model_copy(update={"endpoint": endpoint, "region": region})


def check(storage: Storage, uris: Iterable[str]) -> Residency:
    """Check that every bucket is where it should be. `storage` is settled. Raises ResidencyError."""
    assert storage.region is not None
    check_region(storage)
    if storage.residency == "checked":
        for verdict in verdicts(storage, uris):
            if verdict.problem is not None:
                raise ResidencyError(f"s3://{verdict.bucket}: {verdict.problem}.", verdict.remedy)
    return Residency(storage.region, storage.endpoint, storage.place, storage.residency)


def check_region(storage: Storage) -> None:
    """Raise ResidencyError when the configured region is not an allowed one."""
    if storage.region not in storage.allowed_regions:
        raise ResidencyError(
            f"The region {storage.region} is not in storage.allowed_regions ({', '.join(storage.allowed_regions)}).",
            "Use buckets in an allowed region, or allow this one in the config if the photos may be there.",
        )


def verdicts(storage: Storage, uris: Iterable[str]) -> list[BucketVerdict]:
    """Ask the store where each bucket of the URIs is."""
    buckets = dict.fromkeys(parse_s3(uri).bucket for uri in uris)
    asked = aws.s3_client(storage) if buckets else None
    return [_verdict(asked, storage, bucket) for bucket in buckets]


def _verdict(asked: Any, storage: Storage, bucket: str) -> BucketVerdict:  # noqa: ANN401  boto3 has no types of its own
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = asked.head_bucket(Bucket=bucket)["ResponseMetadata"]
    except ClientError as error:
        answer = error.response.get("ResponseMetadata", {})
    except BotoCoreError as error:
        return BucketVerdict(
            bucket, None, f"where it is can't be asked: {error}", "Check the network and the credentials."
        )
    region, status = answer.get("HTTPHeaders", {}).get("x-amz-bucket-region"), answer.get("HTTPStatusCode")
    if status == 404:
        return BucketVerdict(bucket, None, "there is no such bucket", "Check the URI.", status)
    if region is None:
        return BucketVerdict(
            bucket,
            None,
            f"the store doesn't say in which region it is (HTTP {status})",
            "For a store that has no regions: storage.residency: declared, and storage.place in words.",
            status,
        )
    if region != storage.region:
        return BucketVerdict(
            bucket,
            region,
            f"it is in {region}, and storage.region is {storage.region}",
            "Use a bucket in that region, or set storage.region to where the bucket is, if that is allowed.",
            status,
        )
    return BucketVerdict(bucket, region, None, status=status)


def _from_environment(names: Iterable[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
