"""The one place that makes boto3 clients, makes AWS requests, and knows what AWS's error codes mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from fruitscale.config.schema import Storage
from fruitscale.errors import CapacityError, ClusterError
from fruitscale.storage import botocore_internals, credentials
from fruitscale.storage.partitions import is_aws_host, partition_of, service_domain

ATTEMPTS = 8
BRIEF_ATTEMPTS = 4
"""Attempts of requests that a person waits for."""
POLL_SECONDS = 3.0
CONNECT_SECONDS, READ_SECONDS = 5, 60
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_GLOBAL_SERVICES = frozenset({"iam"})
"""Services without regions: their requests are signed for one region of the partition."""
CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "Unsupported",
        "SpotMaxPriceTooLow", "InsufficientFreeAddressesInSubnet",
    }
)  # fmt: skip
"""No such machine free: another subnet or machine type may have one."""
QUOTA = frozenset(
    {
        "VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "ServiceQuotaExceededException",
        "LimitExceededException", "SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded",
    }
)  # fmt: skip
DENIED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AuthFailure", "Forbidden", "OptInRequired",
        "UnauthorizedOperation", "403",
    }
)  # fmt: skip
ABSENT = frozenset(
    {
        "NoSuchEntity", "NoSuchVersion", "InvalidSubnetID.NotFound", "InvalidInstanceType", "InvalidGroup.NotFound",
        "ResourceNotFoundException",
    }
)  # fmt: skip
"""The resource does not exist, or no longer."""
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
SKEWS = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_SIGNATURES = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException"})
"""Codes of a wrong key, and of a wrong clock, which only the message distinguishes."""
SKEWED = "the clock of this machine is wrong by more than 5 minutes, so the request was refused"
SKEW_HINT = "Set the clock, as in: sudo timedatectl set-ntp true"
_LINKED_ROLES = {
    "CreateApplication": "ops.emr-serverless", "RunInstances": "spot", "RunJobFlow": "elasticmapreduce",
}  # fmt: skip
"""Services that create a role for themselves, by the request that needs it."""
UNSUPPORTED = frozenset(
    {"NotImplemented", "MethodNotAllowed", "NotSupported", "UnknownOperationException", "405", "501"}
)
"""The store does not have this operation: it is not AWS's own."""


def s3_client(storage: Storage, attempts: int = BRIEF_ATTEMPTS) -> Any:  # noqa: ANN401  boto3 has no types of its own
    """Return a client of S3 for what obstore can't do; `storage` is settled."""
    style = {"addressing_style": "path" if uses_path_style(storage) else "virtual"}
    endpoint, seconds = s3_endpoint(storage), storage.timeout_seconds
    made = client("s3", storage, attempts, endpoint=endpoint, read_seconds=seconds, s3=style)
    return botocore_internals.stay_on_host(made)


def client(
    service: str,
    storage: Storage,
    attempts: int = ATTEMPTS,
    *,
    endpoint: str | None = None,
    read_seconds: float = READ_SECONDS,
    **options: Any,
) -> Any:  # noqa: ANN401
    """Return a client of a service in the run's region, which retries throttled and interrupted requests.

    Without `endpoint`, boto3 chooses it, by the region's partition. `options` are botocore's own.
    """
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        **options,
    )
    region = storage.region
    assert region is not None
    if endpoint is not None and service in _GLOBAL_SERVICES:
        region = partition_of(region).global_region
    return credentials.session().client(service, region_name=region, endpoint_url=endpoint, config=config)


def s3_endpoint(storage: Storage) -> str:
    """Return the URL of the store: storage.endpoint, or AWS's own in the region."""
    assert storage.region is not None
    return storage.endpoint or f"https://s3.{storage.region}.{partition_of(storage.region).dns_suffix}"


def is_aws(storage: Storage) -> bool:
    """Return whether the store is AWS's own, judged by its address."""
    return storage.endpoint is None or is_aws_host(storage.endpoint)


def uses_path_style(storage: Storage) -> bool:
    """Return whether requests name the bucket in the path rather than in the host."""
    return storage.path_style if storage.path_style != "auto" else storage.endpoint is not None


def ask(service: Any, operation: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make a request. Raises CapacityError or ClusterError, with the service's own message."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        answer: dict[str, Any] = getattr(service, operation)(**parameters)
    except ClientError as error:
        raise _refused(operation, error) from error
    except ParamValidationError as error:
        raise ClusterError(
            f"{operation} can't be requested: {error}", "Check the cluster section of the config."
        ) from error
    except BotoCoreError as error:
        raise ClusterError(f"{operation} got no answer: {error}", "Check the network and the credentials.") from error
    return answer


def pages(service: Any, operation: str, items: str, **parameters: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the items of every page of an answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        for page in service.get_paginator(operation).paginate(**parameters):
            yield from page.get(items, ())
    except ClientError as error:
        raise _refused(operation, error) from error
    except BotoCoreError as error:
        raise ClusterError(f"{operation} got no answer: {error}", "Check the network and the credentials.") from error


def code(error: BaseException) -> str:
    """Return the error code of a ClientError, or of a ClusterError raised from one; empty if there is none."""
    cause = error.__cause__ if isinstance(error, ClusterError) else error
    response = getattr(cause, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def status(error: BaseException) -> int | None:
    """Return the HTTP status of a ClientError; None if there was no answer."""
    answer = getattr(error, "response", None) or {}
    found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if found is None else int(found)


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may help: no connection, a broken one, a timeout, a busy server."""
    from botocore.exceptions import ConnectionError, HTTPClientError  # noqa: A004

    return isinstance(error, (ConnectionError, HTTPClientError)) or status(error) in TRANSIENT_STATUS


def is_denied(error: BaseException) -> bool:
    """Return whether AWS denied the request."""
    return code(error) in DENIED


def is_absent(error: BaseException) -> bool:
    """Return whether the resource does not exist."""
    return code(error) in ABSENT


def is_skewed(error: BaseException) -> bool:
    """Return whether AWS refused a request for its time."""
    reason = code(error)
    times = ("expired", "not yet current")
    return reason in SKEWS or (reason in _SIGNATURES and any(words in str(error) for words in times))


def is_unsupported(error: BaseException) -> bool:
    """Return whether the store does not have this operation."""
    return code(error) in UNSUPPORTED


def wait(is_done: Callable[[], bool], seconds: float, problem: str) -> None:
    """Poll until `is_done`. Raises ClusterError with `problem` after a number of seconds."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{problem} after {seconds:.0f} s.", "List what is left: fruitscale cluster reap --dry-run"
            )
        time.sleep(POLL_SECONDS)


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags in the form of EC2 and EMR."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_dict(tags: list[dict[str, str]]) -> dict[str, str]:
    """Return tags from the form of EC2 and EMR."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def _refused(operation: str, error: Any) -> ClusterError:  # noqa: ANN401  botocore's ClientError
    reason = code(error)
    message = f"{operation} was refused ({reason}): {error.response['Error'].get('Message', '')}"
    if reason in CAPACITY:
        return CapacityError(message, "Name more subnets or machine types, or try later.")
    if is_skewed(error):
        return ClusterError(f"{message}. Most likely {SKEWED}", SKEW_HINT)
    if "ServiceLinkedRole" in f"{reason} {message}" or "service-linked role" in message:
        return ClusterError(message, _remedy_of_linked_role(error.operation_name))
    return ClusterError(message, _remedy(reason))


def _remedy_of_linked_role(operation: str) -> str:
    """Return how to create the role that an AWS service creates for itself at the first request of a kind."""
    service = _LINKED_ROLES.get(operation, "SERVICE")
    return (
        "The AWS service needs a role of its own in this account, which you have no permission to create. Have it created "
        "once: "
        f"aws iam create-service-linked-role --aws-service-name {service}.{service_domain('')} (docs/iam.md)"
    )


def _remedy(reason: str) -> str:
    if reason in QUOTA:
        return "Use fewer machines, or request a higher quota in the Service Quotas console."
    if reason in EXPIRED:
        return "Log in again (as in: aws sso login), then run the command again."
    if reason in DENIED:
        return "The policies that a launch needs are in configs/iam/."
    if "hrottl" in reason or reason == "RequestLimitExceeded":
        return "Wait a minute, then run it again."
    return "Check the cluster section of the config."
