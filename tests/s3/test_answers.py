"""Answers that are not the store's, or not for us: redirects, sign-in pages, expired credentials, a wrong clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fruitscale.config.schema import Input, Storage
from fruitscale.errors import FruitscaleError, OutputError, ResidencyError, StorageError
from fruitscale.runs import journal, manifest
from fruitscale.runs.run_folder import PLAN, RunFolder
from fruitscale.storage import credentials, residency
from fruitscale.storage.listing import list_photos
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.s3 import S3Store
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.conftest import forget
from tests.s3.proxy import Proxy, Seen, proxied

REQUESTS: dict[str, Callable[[S3Store], Any]] = {
    "read": lambda store: store.read("x"),
    "read-version": lambda store: store.read("x", '"1"'),
    "stat": lambda store: store.stat("x"),
    "exists": lambda store: store.exists("x"),
    "list": lambda store: list(store.names("")),
    "write": lambda store: store.write("x", b"features"),
    "create": lambda store: store.create("y", b"features"),
    "delete": lambda store: store.delete("x"),
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_redirect_to_another_host_is_not_followed(bucket: Bucket, proxy: Proxy, weed: str, request_name: str) -> None:
    bucket.put("x", b"photo")
    with proxied(weed) as other:
        proxy.other = other.url.replace("127.0.0.1", "localhost")
        proxy.rule = lambda seen: "elsewhere"
        with pytest.raises(StorageError, match="redirected the request to another host") as caught:
            REQUESTS[request_name](bucket.store(proxy.url))
        assert other.seen == []  # neither the session's token nor a byte of data
    assert len(proxy.seen) == 1  # and nothing was retried
    assert "storage.endpoint" in str(caught.value.hint)


def test_a_redirected_bucket_is_refused_before_any_object(moto_bucket: Bucket, cloud_proxy: Proxy, moto: str) -> None:
    with proxied(moto) as other:
        cloud_proxy.other = other.url.replace("127.0.0.1", "localhost")
        cloud_proxy.rule = lambda seen: "elsewhere"
        with pytest.raises(ResidencyError, match=r"redirects requests elsewhere \(HTTP 307\)"):
            StorageAccess(Storage(region=servers.REGION, endpoint=cloud_proxy.url)).check(moto_bucket.uri)
        assert other.seen == []
        assert len(cloud_proxy.seen) == 1


def test_a_proxy_of_the_environment_is_still_used(
    bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client behind a proxy reaches the store through it alone; here it is the store's own."""
    monkeypatch.setenv("http_proxy", proxy.url)
    forget()
    store = bucket.store("http://store.example:80")
    with suppress(FruitscaleError):
        store.read("x")
    assert proxy.seen[0].target.startswith("http://store.example")
    forget()


READERS: dict[str, Callable[[S3Store], Any]] = {
    PLAN: lambda store: RunFolder(store).read_plan(),
    "run.json": lambda store: RunFolder(store).read_record(),
    manifest.NAME: manifest.read,
    journal.JOURNAL: journal.read_journal,
}


@pytest.mark.parametrize("name", READERS)
def test_a_sign_in_page_is_no_reason_to_destroy_a_run(bucket: Bucket, proxy: Proxy, name: str) -> None:
    proxy.rule = lambda seen: "portal"
    with pytest.raises(OutputError, match="is damaged") as caught:
        READERS[name](bucket.store(proxy.url))
    assert "overwrite" not in str(caught.value)


def test_a_sign_in_page_is_no_empty_input(bucket: Bucket, proxy: Proxy) -> None:
    """obstore takes it for a listing without objects."""
    proxy.rule = lambda seen: "portal"
    with pytest.raises(StorageError, match="can't be listed") as caught:
        list(list_photos(Input(uri=bucket.uri), bucket.storage(proxy.url)))
    assert "sign-in page" in str(caught.value.hint)
    proxy.rule = lambda seen: None
    assert list(list_photos(Input(uri=bucket.uri), bucket.storage(proxy.url))) == []


def test_a_wrong_clock_is_named(bucket: Bucket, proxy: Proxy) -> None:
    proxy.rule = lambda seen: "skewed"
    for name in ("read", "list", "write"):
        with pytest.raises(StorageError, match="clock of this machine is wrong") as caught:
            REQUESTS[name](bucket.store(proxy.url))
        assert "timedatectl" in str(caught.value.hint)
    settled = residency.settle(Storage(region=servers.REGION, endpoint=proxy.url))
    [verdict] = residency.verdicts(settled, [bucket.uri])  # a response to HEAD has no code, but a date
    assert "clock of this machine is wrong" in str(verdict.problem)


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Credentials in a file that a login replaces; the environment has none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def write(key: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id={key}\naws_secret_access_key={servers.SECRET}\n"
        )

    forget()
    yield write
    forget()


def is_expired(seen: Seen) -> str | None:
    return "expired" if "OLDKEY" in seen.headers.get("authorization", "") else None


@pytest.mark.parametrize("request_name", ["read", "stat", "list", "write"])
def test_expired_credentials_are_read_again(
    bucket: Bucket, proxy: Proxy, login: Callable[[str], None], request_name: str
) -> None:
    bucket.put("x", b"photo")
    proxy.rule = is_expired
    login("OLDKEY")
    store = bucket.store(proxy.url)
    with pytest.raises(StorageError):
        REQUESTS[request_name](store)  # nobody has logged in yet
    login(servers.KEY_ID)
    REQUESTS[request_name](store)
    assert proxy.counts["expired"] == 3
    REQUESTS[request_name](store)
    assert proxy.counts["expired"] == 3


def test_of_many_threads_one_renews(bucket: Bucket, proxy: Proxy, login: Callable[[str], None]) -> None:
    bucket.put("x", b"photo")
    proxy.rule = is_expired
    login("OLDKEY")
    store = bucket.store(proxy.url)
    before = credentials.generation()
    with pytest.raises(StorageError, match="the AWS credentials have expired") as caught:
        store.read("x")
    assert "Log in again" in str(caught.value.hint)
    login(servers.KEY_ID)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: store.read("x"), range(64))) == {b"photo"}
    assert credentials.generation() == before + 2


@pytest.mark.parametrize(("seconds", "longest"), [(60, 30), (3600, 300), (5, 3)])
def test_the_expiry_of_credentials_is_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: Callable[[str], None], seconds: int, longest: int
) -> None:
    """obstore requests credentials again 5 minutes before what it takes for their expiry."""
    expiry = datetime.now(UTC) + timedelta(seconds=seconds)
    found = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": expiry.isoformat()}
    (tmp_path / "made.json").write_text(json.dumps(found))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'made.json'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    forget()
    expires = credentials.provide()["expires_at"]
    assert expires is not None
    kept = (expires - datetime.now(UTC) - timedelta(minutes=5)).total_seconds()
    assert kept <= longest
    assert kept > longest / 2 - 3


def test_credentials_without_expiry_are_kept_for_five_minutes() -> None:
    expires = credentials.provide()["expires_at"]
    assert expires is not None
    assert timedelta(minutes=9) < expires - datetime.now(UTC) <= timedelta(minutes=10)
