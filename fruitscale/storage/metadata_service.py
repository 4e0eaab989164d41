"""Credentials of a machine's or a container's role, with retries: the services that hand them out throttle.

boto3 asks a machine's metadata service once, without a retry, and treats a missing answer as no credentials. Many workers that
start at the same moment are throttled, and a refused renewal would end a run whose credentials are still valid.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.credentials import ContainerProvider, InstanceMetadataProvider
from botocore.exceptions import HTTPClientError, MetadataRetrievalError
from botocore.httpsession import URLLib3Session
from botocore.utils import (
    ContainerMetadataFetcher,
    InstanceMetadataFetcher,
    parse_timestamp,
    resolve_imds_endpoint_mode,
)

from fruitscale.storage.waiting import report_wait

FIRST_SECONDS = 120.0
"""How long a process tries to get its first credentials."""
RENEW_SECONDS = 5.0
"""How long it tries to renew credentials that are still valid; it then goes on with these, and tries again later."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
REPORT_AFTER_SECONDS = 4.0
PROBE_SECONDS = 2
CONTAINER_ATTEMPTS = 60
_ROLE = "latest/meta-data/iam/security-credentials/"
_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")


class PatientMetadataFetcher(InstanceMetadataFetcher):
    """Requests the credentials of the machine's role, with jittered retries if the machine may have one."""

    _last: Mapping[str, Any] | None = None
    _may_have_role: bool | None = None

    def retrieve_iam_role_credentials(self) -> dict[str, Any]:
        """Return the credentials; empty if there are none. Raises MetadataRetrievalError if there were some before."""
        seconds = RENEW_SECONDS if self._is_valid() else FIRST_SECONDS
        started, pause, reported = time.monotonic(), FIRST_PAUSE, False
        while not (found := self._once()):
            waited = time.monotonic() - started
            if waited + pause > seconds or not (self._last or self._has_role()):
                break
            if waited > REPORT_AFTER_SECONDS and not reported:
                reported = True
                report_wait(f"The metadata service returns no AWS credentials; retrying for up to {seconds:g} s")
            time.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311  jitter
            pause = min(2 * pause, LONGEST_PAUSE)
        if found:
            self._last = found
        elif self._is_valid():
            return dict(self._last or {})
        elif self._last:
            raise MetadataRetrievalError(error_msg=f"the metadata service returned no credentials for {seconds:g} s")
        return found

    def _once(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = super().retrieve_iam_role_credentials()
        except MetadataRetrievalError:  # no token, and the older protocol is switched off
            return {}
        return found

    def _is_valid(self) -> bool:
        return self._last is not None and bool(parse_timestamp(self._last["expiry_time"]) > datetime.now(UTC))

    def _has_role(self) -> bool:
        if self._may_have_role is None:
            self._may_have_role = may_have_role(self.get_base_url())
        return self._may_have_role


def may_have_role(base_url: str) -> bool:
    """Return whether the machine may have a role: its service does not answer 404, or is silent on an EC2 machine."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    base, service = base_url.rstrip("/"), URLLib3Session(timeout=PROBE_SECONDS)

    def ask(method: str, path: str, name: str, value: str) -> Any:  # noqa: ANN401
        return service.send(AWSRequest(method, f"{base}/{path}", headers={name: value}).prepare())

    try:
        token = ask("PUT", "latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
        if token.status_code != 200:
            return True
        return bool(ask("GET", _ROLE, "X-aws-ec2-metadata-token", token.text).status_code != 404)
    except HTTPClientError:
        return _is_ec2()


def _is_ec2() -> bool:
    """Return whether this machine is one of EC2's, whose metadata service may be too busy to answer."""
    with suppress(OSError):
        return _VENDOR.read_text().strip() == "Amazon EC2"
    return False


class PatientContainerFetcher(ContainerMetadataFetcher):
    """Requests the credentials of a container's role: for about two minutes, where boto3 gives up after two seconds."""

    RETRY_ATTEMPTS = CONTAINER_ATTEMPTS

    def __init__(self) -> None:
        super().__init__(sleep=lambda seconds: time.sleep(random.uniform(1, 3) * seconds))  # noqa: S311  jitter


def be_patient(session: Any) -> None:  # noqa: ANN401
    """Replace the providers of a botocore session that ask a metadata service."""
    resolver = session.get_component("credential_provider")
    names = {provider.METHOD for provider in resolver.providers}
    patient = (
        ContainerProvider(fetcher=PatientContainerFetcher()),  # type: ignore[arg-type]  # the stubs are wrong
        InstanceMetadataProvider(iam_role_fetcher=_metadata_fetcher(session)),
    )
    for provider in patient:
        if provider.METHOD in names:
            resolver.insert_after(provider.METHOD, provider)
            resolver.remove(provider.METHOD)  # the first of that name


def _metadata_fetcher(session: Any) -> PatientMetadataFetcher:  # noqa: ANN401
    variable = session.get_config_variable
    return PatientMetadataFetcher(
        timeout=variable("metadata_service_timeout"),
        num_attempts=variable("metadata_service_num_attempts"),
        user_agent=session.user_agent(),
        config={
            "ec2_metadata_service_endpoint": variable("ec2_metadata_service_endpoint"),
            "ec2_metadata_service_endpoint_mode": resolve_imds_endpoint_mode(session),
            "ec2_metadata_v1_disabled": variable("ec2_metadata_v1_disabled"),
        },
    )
