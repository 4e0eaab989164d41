"""AWS credentials, from boto3's usual chain: profile, SSO, environment, instance role (`metadata_service`).

Each process gets its own. They are never in a config, a task, a log line or a run folder.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from fruitscale.errors import StorageError
from fruitscale.storage import obstore_internals

if TYPE_CHECKING:
    from botocore.credentials import RefreshableCredentials
    from obstore.store import S3Credential

KEPT = timedelta(minutes=5)
"""How long obstore uses credentials, at most, before it requests them again; boto3 renews those that expire."""
_renewing = threading.Lock()
_generations = [0]


@cache
def session() -> Any:  # noqa: ANN401  boto3 has no types of its own
    """Return this process's boto3 session. Raises StorageError if the profile does not exist."""
    import boto3
    import botocore.session
    from botocore.exceptions import BotoCoreError

    from fruitscale.storage.metadata_service import be_patient

    try:
        source = botocore.session.get_session()
        be_patient(source)
        return boto3.session.Session(botocore_session=source)
    except BotoCoreError as error:
        raise StorageError(f"No AWS session: {error}", "Check AWS_PROFILE and ~/.aws/config.") from None


def provide() -> S3Credential:
    """Return credentials for obstore. Raises StorageError if there are none.

    obstore requests them again some minutes before `expires_at`; for those that expire, after half of their lifetime.
    """
    from botocore.credentials import RefreshableCredentials
    from botocore.exceptions import BotoCoreError

    try:
        found = session().get_credentials()
        frozen = found and found.get_frozen_credentials()
    except BotoCoreError as error:
        raise StorageError(
            f"The AWS credentials are unavailable: {error}", "Check the AWS profile, or log in."
        ) from None
    if not frozen:
        raise StorageError(
            "There are no AWS credentials.",
            "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role.",
        )
    kept = min(KEPT, lifetime(found) / 2) if isinstance(found, RefreshableCredentials) else KEPT
    return {
        "access_key_id": frozen.access_key,
        "secret_access_key": frozen.secret_key,
        "token": frozen.token,
        "expires_at": datetime.now(UTC) + kept + obstore_internals.EARLY,
    }


def lifetime(found: RefreshableCredentials) -> timedelta:
    """Return how long credentials are still valid, at most twice KEPT: boto3 only answers whether they expire within a time."""
    low, high = 0, int(2 * KEPT.total_seconds())
    while low < high:
        middle = (low + high + 1) // 2
        if found.refresh_needed(refresh_in=middle):
            high = middle - 1
        else:
            low = middle
    return timedelta(seconds=low)


def generation() -> int:
    """Return how often this process has renewed its credentials."""
    return _generations[0]


def renew(seen: int) -> int:
    """Read the credentials again, from where they come: a login may have replaced them. Return the new generation.

    `seen` is the generation that the store called expired: of many threads that notice, one renews.
    """
    with _renewing:
        if seen == generation():
            session.cache_clear()
            _generations[0] = seen + 1
        return generation()
