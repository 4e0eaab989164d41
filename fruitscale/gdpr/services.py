"""AWS clients of the audit, each with an explicit region, and the errors of its requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fruitscale.config.schema import Storage
from fruitscale.storage import aws

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class UnansweredError(Exception):
    """A request failed; the text gives the reason."""


@dataclass(frozen=True)
class Services:
    """Creates and caches the clients of one audit; `storage` has its region resolved."""

    storage: Storage
    _made: dict[tuple[str, str], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_aws(self) -> bool:
        """Whether the store is AWS's own, judging by its address."""
        return aws.is_aws(self.storage)

    def s3(self, region: str | None) -> Any:  # noqa: ANN401  boto3 has no types of its own
        """Return a client for a bucket that is in this region, or in the configured one."""
        here = self.storage.region or ""
        there = here if region is None or self.storage.endpoint is not None else region
        if ("s3", there) not in self._made:
            self._made["s3", there] = aws.s3_client(self.storage.model_copy(update={"region": there}))
        return self._made["s3", there]

    def other(self, name: str, region: str | None = None) -> Any:  # noqa: ANN401
        """Return a client of another service. Raises UnansweredError where the store is not AWS's."""
        asked_region = region or self.storage.region
        assert asked_region is not None
        given = os.environ.get(f"AWS_ENDPOINT_URL_{name.upper()}") or os.environ.get("AWS_ENDPOINT_URL")
        if given is None and not self.is_aws:
            raise UnansweredError(f"storage.endpoint is not AWS's, so {name.upper()} is unavailable")
        if (name, asked_region) not in self._made:
            storage = self.storage.model_copy(update={"region": asked_region})
            self._made[name, asked_region] = aws.client(
                name, storage, aws.BRIEF_ATTEMPTS, endpoint=given, read_seconds=storage.timeout_seconds
            )
        return self._made[name, asked_region]


def ask(request: Callable[..., Mapping[str, Any]], absent: str = "", **arguments: object) -> dict[str, Any] | None:
    """Make a request; return None on the error code `absent` (the setting does not exist).

    Raises UnansweredError if the request is denied, not supported by the store, or fails.
    """
    from botocore.exceptions import ClientError

    with answered():
        try:
            return dict(request(**arguments))
        except ClientError as error:
            if absent and aws.code(error) == absent:
                return None
            raise


@contextmanager
def answered() -> Iterator[None]:
    """Raise every failure of a request as UnansweredError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise UnansweredError(_reason(error)) from None
    except BotoCoreError as error:
        raise UnansweredError(f"no answer: {error}") from None


def _reason(error: ClientError) -> str:
    if aws.is_denied(error):
        return f"access is denied to {error.operation_name}"
    if aws.is_unsupported(error):
        return f"the store has no {error.operation_name}"
    return f"{error.operation_name}: {aws.code(error) or 'no error code'}"
