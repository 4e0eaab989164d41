"""Checks where buckets are before any object in them is listed, read or written. No answer, no run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from fruitscale.config.schema import Storage
from fruitscale.errors import ResidencyError, UsageError
from fruitscale.storage import aws, credentials
from fruitscale.storage.store import Store, open_store
from fruitscale.uris import is_s3, parse_s3

SKEW_SECONDS = 300
"""Difference of clocks from which on some services refuse requests; S3 itself does from 15 minutes on."""
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class Residency:
    """Where the store is; `rule` is whether that was checked or declared."""

    region: str
    endpoint: str | None
    place: str | None
    rule: str


@dataclass(frozen=True)
class BucketVerdict:
    """The place of one bucket; `problem` is None if it is in an allowed region; `status` is that of the HTTP response."""

    bucket: str
    region: str | None
    problem: str | None
    remedy: str = ""
    status: int | None = None


class StorageAccess:
    """Opens stores for one command: settles region and endpoint once, and asks each bucket for its region once.

    Everything that a command opens goes through one StorageAccess, so no bucket is touched before it was checked.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        self.given = storage or Storage()
        self._checked: set[str] = set()

    @cached_property
    def settled(self) -> Storage:
        """The settings with region and endpoint, for S3. Raises UsageError as `settle` does."""
        return settle(self.given)

    def check(self, *uris: str) -> Residency | None:
        """Check the buckets of s3:// URIs that were not checked before; return where the store is, None without one.

        Raises ResidencyError if a bucket is outside the configured region or does not answer.
        """
        buckets = dict.fromkeys(parse_s3(uri).bucket for uri in uris if is_s3(uri))
        if not buckets:
            return None
        found = check(self.settled, [f"s3://{bucket}" for bucket in buckets if bucket not in self._checked])
        self._checked.update(buckets)
        return found

    def storage_for(self, uri: str) -> Storage:
        """Return the settings with which to open a URI, once its bucket is checked. Raises ResidencyError."""
        return self.given if self.check(uri) is None else self.settled

    def open(self, uri: str) -> Store:
        """Open a URI, once its bucket is checked. Raises ResidencyError."""
        return open_store(uri, self.storage_for(uri))


def settle(storage: Storage) -> Storage:
    """Return the settings completed from the environment, so that workers need no environment.

    Raises UsageError if there is no region, or residency is declared without a place.
    """
    endpoint = storage.endpoint or _from_environment(ENDPOINT_VARIABLES)
    region = storage.region or _from_environment(REGION_VARIABLES) or credentials.session().region_name
    if not region:
        raise UsageError("storage.region is not set.", "Set the AWS region of the buckets: --set storage.region=…")
    if storage.residency == "declared" and not storage.place:
        raise UsageError(
            "storage.residency is declared, but storage.place is not set.",
            "Describe the place, as in --set storage.place='our own machines in Lyon'.",
        )
    return storage.model_copy(update={"endpoint": endpoint, "region": region})


def check(storage: Storage, uris: Iterable[str]) -> Residency:
    """Check that every bucket is in the configured region. `storage` is settled. Raises ResidencyError."""
    assert storage.region is not None
    check_region(storage)
    if storage.residency == "checked":
        for verdict in verdicts(storage, uris):
            if verdict.problem is not None:
                raise ResidencyError(f"s3://{verdict.bucket}: {verdict.problem}.", verdict.remedy)
    return Residency(storage.region, storage.endpoint, storage.place, storage.residency)


def check_region(storage: Storage) -> None:
    """Raise ResidencyError unless the configured region is allowed."""
    if storage.region not in storage.allowed_regions:
        raise ResidencyError(
            f"The region {storage.region} is not in storage.allowed_regions ({', '.join(storage.allowed_regions)}).",
            "Use buckets in an allowed region, or allow this one in the config if the photos may be there.",
        )


def verdicts(storage: Storage, uris: Iterable[str]) -> list[BucketVerdict]:
    """Ask the store for the region of each bucket in the URIs."""
    buckets = dict.fromkeys(parse_s3(uri).bucket for uri in uris)
    s3_client = aws.s3_client(storage) if buckets else None
    return [_verdict(s3_client, storage, bucket) for bucket in buckets]


def _verdict(s3_client: Any, storage: Storage, bucket: str) -> BucketVerdict:  # noqa: ANN401  boto3 has no types of its own
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = s3_client.head_bucket(Bucket=bucket)["ResponseMetadata"]
    except ClientError as error:
        answer = error.response.get("ResponseMetadata", {})
    except BotoCoreError as error:
        return BucketVerdict(
            bucket, None, f"can't find out its region: {error}", "Check the network and the credentials."
        )
    headers, status = answer.get("HTTPHeaders", {}), answer.get("HTTPStatusCode")
    region = headers.get("x-amz-bucket-region")
    problem, remedy = _problem(storage, region, status, headers.get("date"))
    return BucketVerdict(bucket, region, problem, remedy, status)


def _problem(storage: Storage, region: str | None, status: int | None, date: str | None) -> tuple[str | None, str]:
    """Return what is wrong with a bucket according to the response to HEAD, and what to do; None if nothing is."""
    if status == 404:
        return "there is no such bucket", "Check the URI."
    if status == 403 and _is_skewed(date):  # a response to HEAD has no body with a code
        return aws.SKEWED, aws.SKEW_HINT
    if status is not None and status // 100 == 3 and region in (None, storage.region):
        return f"the store redirects requests elsewhere (HTTP {status})", "Check storage.endpoint and storage.region."
    if region is None:
        remedy = (
            "For a store without regions, set storage.residency: declared, and describe its place in storage.place. On a "
            "network with a sign-in page, sign in first."
        )
        return f"the store does not report its region (HTTP {status})", remedy
    if region != storage.region:
        return (
            f"it is in {region}, and storage.region is {storage.region}",
            "Use a bucket in that region, or set storage.region to the bucket's region if photos may be there.",
        )
    return None, ""


def _is_skewed(date: str | None) -> bool:
    """Return whether the store's time, from the header of a refusal, differs too much from ours."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return False
    return abs(theirs.timestamp() - time.time()) > SKEW_SECONDS


def _from_environment(names: Iterable[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
