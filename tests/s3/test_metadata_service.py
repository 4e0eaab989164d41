"""Credentials of a machine's role, from a metadata service that refuses requests: a real server on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fruitscale.errors import StorageError
from fruitscale.storage import credentials, metadata_service
from fruitscale.storage.waiting import listening
from tests.conftest import ROOT
from tests.s3 import servers
from tests.s3.conftest import VARIABLES, forget
from tests.s3.metadata import Metadata
from tests.s3.metadata import metadata_service as serving

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED")
PROVIDE = "from fruitscale.storage import credentials; print(credentials.provide()['access_key_id'])"


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """The only source of credentials."""
    with serving() as server:
        for name in KEYS:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        forget()
        yield server
    forget()


@pytest.mark.parametrize("refused", [0, 1, 2, 3, 4])
def test_refused_requests_are_made_again(metadata: Metadata, refused: int) -> None:
    metadata.refused = refused
    assert credentials.provide()["access_key_id"] == servers.KEY_ID
    assert metadata.throttled == refused


def test_a_machine_without_a_role_is_not_waited_for(metadata: Metadata) -> None:
    metadata.role = ""
    with pytest.raises(StorageError, match="There are no AWS credentials"):
        credentials.provide()
    assert metadata.asked <= 5  # of boto3, and our look for a role


def test_a_service_that_only_refuses_ends_in_an_error(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_service, "FIRST_SECONDS", 1.0)
    monkeypatch.setattr(metadata_service, "REPORT_AFTER_SECONDS", 0.0)
    metadata.per_second = 0
    reports: list[str] = []
    with listening(reports.append), pytest.raises(StorageError, match="There are no AWS credentials"):
        credentials.provide()
    assert reports == ["The metadata service returns no AWS credentials; retrying for up to 1 s"]


def test_valid_credentials_are_kept_while_they_cannot_be_renewed(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_service, "RENEW_SECONDS", 0.5)
    fetcher = metadata_service.PatientMetadataFetcher(base_url=metadata.url)
    found = fetcher.retrieve_iam_role_credentials()
    metadata.per_second = 0
    assert fetcher.retrieve_iam_role_credentials() == found
    assert (found["access_key"], metadata.throttled > 0) == (servers.KEY_ID, True)


def test_boto3_s_chain_is_kept_but_for_the_two_services(metadata: Metadata) -> None:
    import botocore.session

    plain, ours = botocore.session.get_session(), botocore.session.get_session()
    metadata_service.be_patient(ours)
    before, after = (session.get_component("credential_provider").providers for session in (plain, ours))
    assert [provider.METHOD for provider in after] == [provider.METHOD for provider in before]
    changed = [b.METHOD for a, b in zip(before, after, strict=True) if _fetcher(a) is not _fetcher(b)]
    assert changed == ["container-role", "iam-role"]


def _fetcher(provider: object) -> type | None:
    """Return the class of ours that a provider fetches with."""
    ours = (metadata_service.PatientContainerFetcher, metadata_service.PatientMetadataFetcher)
    return next((type(value) for value in vars(provider).values() if isinstance(value, ours)), None)


def test_the_environment_comes_before_the_machine_s_role(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert credentials.provide()["access_key_id"] == "from-the-environment"
    assert metadata.asked == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [4, 8])
def test_workers_that_start_together_get_theirs_at_four_requests_per_second(metadata: Metadata, workers: int) -> None:
    metadata.per_second = 4
    kept = {name: value for name, value in {**os.environ, **VARIABLES}.items() if name not in KEYS}
    variables = {**kept, "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([sys.executable, "-c", PROVIDE], env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    assert [process.communicate()[0].strip() for process in started] == [servers.KEY_ID] * workers
    assert metadata.throttled > 0
