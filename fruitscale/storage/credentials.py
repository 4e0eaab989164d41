"""AWS credentials, from boto3's usual chain: profile, SSO, environment, instance role.

Each process gets its own. They are never in a config, a task, a log line or a run folder.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from fruitscale.errors import StorageError

if TYPE_CHECKING:
    from obstore.store import S3Credential

REFRESH = timedelta(minutes=10)
"""How long obstore keeps credentials before it requests them again; boto3 renews those that expire."""


@cache
def session() -> Any:  # noqa: ANN401  boto3 has no types of its own
    """Return this process's boto3 session. Raises StorageError if the profile does not exist."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.session.Session()
    except BotoCoreError as error:
        raise StorageError(f"No AWS session: {error}", "Check AWS_PROFILE and ~/.aws/config.") from None


def provide() -> S3Credential:
    """Return credentials for obstore. Raises StorageError if there are none."""
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
    return {
        "access_key_id": frozen.access_key,
        "secret_access_key": frozen.secret_key,
        "token": frozen.token,
        "expires_at": datetime.now(UTC) + REFRESH,
    }
