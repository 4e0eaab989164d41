"""AWS clients of the audit, each with an explicit region and endpoint, and the errors of its requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fruitscale.config.schema import Storage
from fruitscale.storage import credentials, residency, s3

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

ENDPOINTS = {
    "ec2": "https://ec2.{region}.amazonaws.com",
    "emr": "https://elasticmapreduce.{region}.amazonaws.com",
    "iam": "https://iam.amazonaws.com",
    "kms": "https://kms.{region}.amazonaws.com",
    "sts": "https://sts.{region}.amazonaws.com",
}
GLOBAL_REGION = "us-east-1"
"""IAM is global; its requests are signed for this region."""
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation", "403"})
UNKNOWN = frozenset({"NotImplemented", "MethodNotAllowed", "NotSupported", "UnknownOperationException", "405", "501"})


class UnansweredError(Exception):
    """A request failed; the text gives the reason."""


@dataclass(frozen=True)
class Services:
    """Creates and caches the clients of one audit; `storage` has its region resolved."""

    storage: Storage
    _made: dict[tuple[str, str], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_aws(self) -> bool:
        """Whether the endpoint is AWS's."""
        endpoint = self.storage.endpoint
        return endpoint is None or (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")

    def s3(self, region: str | None) -> Any:  # noqa: ANN401  boto3 has no types of its own
        """Return a client for a bucket that is in this region, or in the configured one."""
        here = self.storage.region or ""
        there = here if region is None or self.storage.endpoint is not None else region
        if ("s3", there) not in self._made:
            self._made["s3", there] = residency.client(self.storage.model_copy(update={"region": there}))
        return self._made["s3", there]

    def other(self, name: str, region: str | None = None) -> Any:  # noqa: ANN401
        """Return a client of another service. Raises UnansweredError where the store is not AWS's."""
        asked_region = region or self.storage.region
        assert asked_region is not None
        given = os.environ.get(f"AWS_ENDPOINT_URL_{name.upper()}") or os.environ.get("AWS_ENDPOINT_URL")
        if given is None and not self.is_aws:
            raise UnansweredError(f"storage.endpoint is not AWS's, so {name.upper()} is unavailable")
        endpoint = given or ENDPOINTS[name].format(region=asked_region)
        key = (name, endpoint)
        if key not in self._made:
            signed_for = GLOBAL_REGION if name == "iam" else asked_region
            self._made[key] = _client(name, signed_for, endpoint, self.storage.timeout_seconds)
        return self._made[key]


def ask(request: Callable[..., Mapping[str, Any]], absent: str = "", **arguments: object) -> dict[str, Any] | None:
    """Make a request; return None on the error code `absent` (the setting does not exist).

    Raises UnansweredError if the request is denied, not supported by the store, or fails.
    """
    from botocore.exceptions import ClientError

    with answered():
        try:
            return dict(request(**arguments))
        except ClientError as error:
            if absent and code(error) == absent:
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


def code(error: ClientError) -> str:
    """Return the AWS error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _reason(error: ClientError) -> str:
    if code(error) in DENIED:
        return f"access is denied to {error.operation_name}"
    if code(error) in UNKNOWN:
        return f"the store has no {error.operation_name}"
    return f"{error.operation_name}: {code(error) or 'no error code'}"


def _client(name: str, region: str, endpoint: str, seconds: float) -> Any:  # noqa: ANN401
    from botocore.config import Config

    options = Config(
        connect_timeout=s3.CONNECT_SECONDS,
        read_timeout=seconds,
        retries={"total_max_attempts": 4, "mode": "standard"},
    )
    return credentials.session().client(name, region_name=region, endpoint_url=endpoint, config=options)
