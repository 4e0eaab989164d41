"""Requests that obstore lacks, sent by boto3: a copy and a deletion that S3 makes only if an object has a certain ETag.

AWS and SeaweedFS support both. A store that ignores conditions carries them out regardless.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from fruitscale.config.schema import Storage
from fruitscale.errors import ChangedObjectError, MissingObjectError, StorageError
from fruitscale.storage import aws, obstore_internals


class Access(NamedTuple):
    """A store's settings, the generation of credentials to sign with, and the bucket."""

    storage: Storage
    generation: int
    bucket: str


MISSING, CHANGED = 404, (409, 412)
"""409: another request for the same object is under way."""


def copy(at: Access, old: str, new: str, etag: str) -> bool:
    """Copy an object that has this ETag within the bucket; return False if the store does not support it.

    Raises ChangedObjectError if its ETag is another, MissingObjectError if it does not exist.
    """
    source = {"Bucket": at.bucket, "Key": old}
    parameters = {
        "Bucket": at.bucket,
        "Key": new,
        "CopySource": source,
        "CopySourceIfMatch": etag,
        **_encryption(at.storage),
    }
    return _sent(lambda: _client(at.storage, at.generation).copy_object(**parameters), old)


def delete(at: Access, key: str, etag: str) -> bool:
    """Remove an object that has this ETag; return False if the store does not support it. Raises as `copy` does."""
    return _sent(lambda: _client(at.storage, at.generation).delete_object(Bucket=at.bucket, Key=key, IfMatch=etag), key)


def _sent(send: Callable[[], Any], key: str) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        send()
    except ClientError as error:
        status = aws.status(error)
        if aws.is_unsupported(error):
            return False
        if status in CHANGED:
            raise ChangedObjectError(f"{key} changed.") from None
        if status == MISSING and aws.code(error) != "NoSuchBucket":
            raise MissingObjectError(f"{key} does not exist.") from None
        raise obstore_internals.refusal(status or 0, aws.code(error)) from None
    except BotoCoreError as error:
        if aws.is_transient(error):
            raise obstore_internals.no_answer(str(error)) from None
        raise StorageError(f"{key} can't be written: {error}", "Check the AWS profile, or log in.") from None
    return True


def _encryption(storage: Storage) -> dict[str, str]:
    if storage.encryption is None:
        return {}
    parameters = {"ServerSideEncryption": "AES256" if storage.encryption == "sse-s3" else "aws:kms"}
    return parameters if storage.kms_key is None else parameters | {"SSEKMSKeyId": storage.kms_key}


@lru_cache(maxsize=8)
def _client(storage: Storage, generation: int) -> Any:  # noqa: ANN401  boto3 has no types of its own
    """Return this process's client for credentials of this generation."""
    return aws.s3_client(storage, attempts=1)
