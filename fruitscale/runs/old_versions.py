"""Purges old object versions in versioned buckets, which would still hold erased photos."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fruitscale.errors import StorageError
from fruitscale.runs import manifest
from fruitscale.runs.journal import PurgedVersions
from fruitscale.runs.run_folder import FEATURES, RECORD, REDUCED, REJECTS, REPORT
from fruitscale.storage import aws
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.store import Store

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

MOST_KEYS = 1000
"""The most keys per DeleteObjects request."""
FOLDERS = (f"{FEATURES}/", f"{REDUCED}/", "pca/", "_run/")
FILES = frozenset({RECORD, REPORT, REJECTS, manifest.NAME})
"""With FOLDERS, all files of a run; other files beside them are left alone."""


class _ObjectVersion(NamedTuple):
    key: str
    id: str
    is_marker: bool


def purge(store: Store, touched: Collection[str], under: str = "") -> PurgedVersions:
    """Purge noncurrent versions and delete markers of every run this folder has held.

    `touched` are the names rewritten or removed, counted as remaining if versions can't be listed. Does nothing for stores
    without versions. Raises StorageError if the store fails.
    """
    if not isinstance(store, S3Store):
        return PurgedVersions()
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3 = aws.s3_client(store.storage)
        try:
            old = list(_old(s3, store, under))
        except ClientError as error:
            return _unlisted(s3, store, touched, error)
        versions, markers = [v for v in old if not v.is_marker], [v for v in old if v.is_marker]
        kept = _delete(s3, store, versions)
        # Keep the marker of a version that could not be removed: without it that version would be current again
        kept |= _delete(s3, store, [marker for marker in markers if marker.key not in kept])
    except (BotoCoreError, ClientError) as error:
        raise StorageError(
            f"The old versions in {store.uri} can't be removed: {error}", "Run the same command again: it continues."
        ) from None
    return PurgedVersions(sum(version.key not in kept for version in old), len(kept))


def _old(s3: Any, store: S3Store, under: str) -> Iterator[_ObjectVersion]:  # noqa: ANN401  boto3 has no types of its own
    base = store.key("")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=store.location.bucket, Prefix=base + under):
        for found in page.get("Versions", ()):
            if not found["IsLatest"] and _is_ours(found["Key"].removeprefix(base)):
                yield _ObjectVersion(found["Key"], found["VersionId"], is_marker=False)
        for found in page.get("DeleteMarkers", ()):
            if _is_ours(found["Key"].removeprefix(base)):
                yield _ObjectVersion(found["Key"], found["VersionId"], is_marker=True)


def _is_ours(name: str) -> bool:
    return name in FILES or name.startswith(FOLDERS)


def _unlisted(s3: Any, store: S3Store, touched: Collection[str], error: ClientError) -> PurgedVersions:  # noqa: ANN401
    """Return what remains if versions can't be listed: nothing if the bucket keeps none."""
    from botocore.exceptions import ClientError as Refused

    if aws.is_unsupported(error):
        return PurgedVersions()
    if not aws.is_denied(error):
        raise error
    try:
        status = s3.get_bucket_versioning(Bucket=store.location.bucket).get("Status")
    except Refused as refused:
        status = None if aws.is_unsupported(refused) else "unknown"
    return PurgedVersions(0, len(touched) if status is not None else 0)


def _delete(s3: Any, store: S3Store, versions: list[_ObjectVersion]) -> set[str]:  # noqa: ANN401
    """Delete versions; return the keys with a version that could not be deleted."""
    from botocore.exceptions import ClientError

    kept: set[str] = set()
    for start in range(0, len(versions), MOST_KEYS):
        some = versions[start : start + MOST_KEYS]
        objects = [{"Key": version.key, "VersionId": version.id} for version in some]
        try:
            answer = s3.delete_objects(Bucket=store.location.bucket, Delete={"Objects": objects, "Quiet": True})
        except ClientError as error:
            if not aws.is_denied(error):
                raise
            kept |= {version.key for version in some}
        else:
            kept |= {failed["Key"] for failed in answer.get("Errors", ()) if failed.get("Code") != "NoSuchVersion"}
    return kept
