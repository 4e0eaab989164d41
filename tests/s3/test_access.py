"""Who may ask the store, what its requests say, and that they go nowhere else."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fruitscale.errors import StorageError
from fruitscale.storage.s3 import S3Store
from tests.conftest import ROOT, Cli
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.conftest import forget
from tests.s3.proxy import Proxy

RAISES = Callable[[S3Store], object]
DENIED: list[object] = [
    pytest.param(lambda store: store.read("x"), id="read"),
    pytest.param(lambda store: store.write("x", b""), id="write"),
    pytest.param(lambda store: store.exists("x"), id="head"),
    pytest.param(lambda store: list(store.names("")), id="list"),
    pytest.param(lambda store: store.delete("x"), id="delete"),
]


@pytest.mark.parametrize("request_it", DENIED)
def test_wrong_credentials_are_told_at_once(
    bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, request_it: RAISES
) -> None:
    with changed_credentials(monkeypatch, AWS_SECRET_ACCESS_KEY="not-this-one"):
        with pytest.raises(StorageError, match="access is denied") as caught:
            request_it(bucket.store(proxy.url))
    assert caught.value.hint == "Check the credentials and their policy."
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("request_it", DENIED)
def test_a_policy_that_denies_is_told_at_once(bucket: Bucket, proxy: Proxy, request_it: RAISES) -> None:
    proxy.rule = lambda _: "denied"
    with pytest.raises(StorageError, match="access is denied"):
        request_it(bucket.store(proxy.url))
    assert len(proxy.seen) == 1


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "There are no AWS credentials"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_PROFILE": "nobody"}, "The config profile"),
    ],
    ids=["none", "no-such-profile"],
)
def test_credentials_that_are_not_there_are_told_at_once(
    bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    with changed_credentials(monkeypatch, **variables):
        with pytest.raises(StorageError, match=told):
            bucket.store(proxy.url).read("x")
    assert not proxy.seen


@contextmanager
def changed_credentials(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
            if not value:
                patch.delenv(name)
        forget()
        yield
    forget()


WORKER = """
import sys
from fruitscale.config.schema import Storage
from fruitscale.storage import aws
from fruitscale.storage.s3 import S3Store
storage = Storage.model_validate_json(sys.argv[1])
store = S3Store(sys.argv[2], storage)
assert store.read("x") == b"content" and [entry.name for entry in store.entries()] == ["x"]
store.write("y", b"")
aws.s3_client(storage).head_bucket(Bucket=store.location.bucket)
"""


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
def test_a_workers_environment_sends_nothing_elsewhere(bucket: Bucket, s3_cli: Cli, variable: str) -> None:
    bucket.put("x", b"content")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        subprocess.run(
            [sys.executable, "-c", WORKER, bucket.storage().model_dump_json(), bucket.uri],
            env=s3_cli.environment | {variable: address, "AWS_REGION": "us-east-1"},
            cwd=ROOT,
            check=True,
            timeout=60,
        )
        with pytest.raises(BlockingIOError):  # nobody has knocked
            elsewhere.accept()


@pytest.mark.parametrize("verb", ["write", "create", "replace"])
def test_sse_s3_is_asked_for_with_every_object(bucket: Bucket, proxy: Proxy, verb: str) -> None:
    store = bucket.store(proxy.url, encryption="sse-s3")
    etag = store.create("x", b"before") if verb == "replace" else ""
    key = store.key("x")
    if verb == "replace":
        store.replace("x", b"photo", etag)
    else:
        getattr(store, verb)("x", b"photo")
    assert [seen.headers.get("x-amz-server-side-encryption") for seen in proxy.requests("PUT")][-1:] == ["AES256"]
    assert bucket.client.head_object(Bucket=bucket.name, Key=key)["ServerSideEncryption"] == "AES256"
    assert store.read("x", store.stat("x")[1]) == b"photo"


def test_nothing_is_asked_of_a_store_that_has_its_own_encryption(bucket: Bucket, proxy: Proxy) -> None:
    bucket.store(proxy.url).write("x", b"photo")
    assert not [name for name in proxy.requests("PUT")[0].headers if "encryption" in name]


def test_the_secret_is_in_no_request(bucket: Bucket, proxy: Proxy) -> None:
    bucket.store(proxy.url).write("x", b"photo")
    assert servers.KEY_ID in str(proxy.seen)  # S3's signature names the key, and is made with the secret
    assert servers.SECRET not in str(proxy.seen)
