"""AWS's services, asked in the region of the run; what they refuse is told with what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from fruitscale.config.schema import Storage
from fruitscale.errors import CapacityError, ClusterError
from fruitscale.storage import credentials

ATTEMPTS = 8
POLL_SECONDS = 3.0
CONNECT_SECONDS, READ_SECONDS = 5, 60
CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "Unsupported",
        "SpotMaxPriceTooLow", "InsufficientFreeAddressesInSubnet",
    }
)  # fmt: skip
"""Another subnet or type may do."""
QUOTA = frozenset(
    {
        "VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "ServiceQuotaExceededException",
        "LimitExceededException", "SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded",
    }
)  # fmt: skip
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "OptInRequired"})


def client(service: str, storage: Storage, attempts: int = ATTEMPTS) -> Any:  # noqa: ANN401  boto3 has no types of its own
    """Return a client of a service in the run's region, which tries a request again that was throttled or cut off."""
    from botocore.config import Config

    assert storage.region is not None
    options = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
    )
    return credentials.session().client(service, region_name=storage.region, config=options)


def ask(service: Any, operation: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make a request. Raises CapacityError or ClusterError, with the service's own words."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        answer: dict[str, Any] = getattr(service, operation)(**parameters)
    except ClientError as error:
        raise _refused(operation, error) from error
    except ParamValidationError as error:
        raise ClusterError(
            f"{operation} can't be asked: {error}", "Check the cluster section of the config."
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
    """Return the code of what a service refused, or nothing."""
    cause = error.__cause__ if isinstance(error, ClusterError) else error
    response = getattr(cause, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def wait(is_done: Callable[[], bool], seconds: float, what: str) -> None:
    """Look until it is done. Raises ClusterError when it takes longer than so many seconds."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} after {seconds:.0f} s.", "See what is left: fruitscale cluster reap --dry-run")
        time.sleep(POLL_SECONDS)


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags as EC2 and EMR want them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_dict(tags: list[dict[str, str]]) -> dict[str, str]:
    """Return tags from what EC2 and EMR say."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def _refused(operation: str, error: Any) -> ClusterError:  # noqa: ANN401  botocore's ClientError
    told, words = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    message = f"{operation} was refused ({told}): {words}"
    if told in CAPACITY:
        return CapacityError(message, "Name more subnets or machine types, or try later.")
    if told in QUOTA:
        return ClusterError(message, "Ask for fewer machines, or for a higher quota in the Service Quotas console.")
    if told in DENIED:
        return ClusterError(message, "The policies that a launch needs are in configs/iam/.")
    if "hrottl" in told or told == "RequestLimitExceeded":
        return ClusterError(message, "Wait a little, and run it again.")
    return ClusterError(message, "Check the cluster section of the config.")
