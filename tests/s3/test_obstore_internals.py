"""What fruitscale relies on that obstore does not promise: one test for each, named after what an upgrade would break."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import obstore
import pytest
from obstore.store import S3Store as ObjectStore

from fruitscale.storage import obstore_internals
from fruitscale.storage.s3 import S3Store
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.proxy import Proxy

DENIED_DELETION = (
    b"<?xml version='1.0'?><DeleteResult><Error><Key>x</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
    b"</DeleteResult>"
)
"""What AWS answers, with status 200, to a DeleteObjects request without permission."""
REFUSED = ["a//b.jpg", "/a.jpg", "./a.jpg", "a/../b.jpg", "a/./b.jpg", "tab\t.jpg", "delete\x7f.jpg"]
ACCEPTED = ["a.jpg", "...jpg", "dot.", "a/..b.jpg", " .jpg", "é.jpg", "🍓.jpg", "\u202eright.jpg", "\x80.jpg"]


def objects(endpoint: str, bucket: str, prefix: str | None = None) -> ObjectStore:
    """Open a bucket with obstore alone; it retries nothing."""
    return ObjectStore(
        bucket,
        prefix=prefix,
        config={"region": servers.REGION, "endpoint": endpoint, "virtual_hosted_style_request": False},
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


def error_of(request: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        request()
    return caught.value


def list_all(store: ObjectStore) -> list[str]:
    return [meta["path"] for page in obstore.list(store) for meta in page]


@pytest.mark.parametrize(("fate", "status"), [("busy", "503"), ("broken", "500")])
def test_the_text_of_a_server_error_has_its_status_code(bucket: Bucket, proxy: Proxy, fate: str, status: str) -> None:
    proxy.expect([fate])
    error = error_of(lambda: obstore.get(objects(proxy.url, bucket.name), "x"))
    assert f"status code: {status}" in str(error)
    assert obstore_internals.is_transient(error)
    assert not obstore_internals.is_denied(error)


def test_the_text_of_a_request_without_answer_has_no_status_code(bucket: Bucket, proxy: Proxy) -> None:
    proxy.expect(["lost"])
    error = error_of(lambda: obstore.put(objects(proxy.url, bucket.name), "x", b"content"))
    assert "status code" not in str(error)
    assert obstore_internals.is_transient(error)


@pytest.mark.parametrize("verb", ["get", "list"])
def test_a_denied_request_is_known_by_its_class_or_its_status_code(bucket: Bucket, proxy: Proxy, verb: str) -> None:
    proxy.expect(["denied"])
    store = objects(proxy.url, bucket.name)
    error = error_of(lambda: obstore.get(store, "x") if verb == "get" else list_all(store))
    assert obstore_internals.is_denied(error)
    assert not obstore_internals.is_transient(error)


def test_the_text_of_a_denied_deletion_has_the_code_that_s3_put_into_a_200() -> None:
    with answering(DENIED_DELETION) as endpoint:
        error = error_of(lambda: obstore.delete(objects(endpoint, "photos"), ["x"]))
    assert "(code: AccessDenied)" in str(error)
    assert obstore_internals.is_denied(error)
    assert not obstore_internals.is_transient(error)


@pytest.mark.parametrize("verb", ["get", "put", "list"])
def test_the_text_of_a_missing_bucket_says_no_such_bucket(weed: str, verb: str) -> None:
    store = objects(weed, "no-such-bucket")
    requests: dict[str, Callable[[], Any]] = {
        "get": lambda: obstore.get(store, "x"),
        "put": lambda: obstore.put(store, "x", b""),
        "list": lambda: list_all(store),
    }
    assert obstore_internals.is_missing_bucket(error_of(requests[verb]))


def test_the_text_of_a_missing_object_does_not(bucket: Bucket) -> None:
    error = error_of(lambda: obstore.get(objects(bucket.endpoint, bucket.name, bucket.prefix), "x"))
    assert isinstance(error, FileNotFoundError)
    assert not obstore_internals.is_missing_bucket(error)


@pytest.mark.parametrize("key", [*REFUSED, *ACCEPTED])
def test_the_keys_that_a_listing_refuses_are_those_we_list_through_boto3(moto_bucket: Bucket, key: str) -> None:
    """A listing of accepted keys returns them; one with a refused key raises `invalid path`."""
    moto_bucket.put(key, b"photo")
    store = objects(moto_bucket.endpoint, moto_bucket.name)

    def listed() -> list[str]:
        pages = obstore.list(store, moto_bucket.prefix)
        return [meta["path"].removeprefix(f"{moto_bucket.prefix}/") for page in pages for meta in page]

    if obstore_internals.is_addressable(key):
        assert listed() == [key]
    else:
        error = error_of(listed)
        assert "invalid path" in str(error)
        assert obstore_internals.is_unaddressable(error)
    assert obstore_internals.is_addressable(key) == (key in ACCEPTED)


def test_a_page_is_full_while_keys_remain(bucket: Bucket) -> None:
    for i in range(5):
        bucket.put(f"{i}.jpg", b"photo")
    pages = list(obstore.list(objects(bucket.endpoint, bucket.name), bucket.prefix, chunk_size=2))
    assert [len(page) for page in pages] == [2, 2, 1]


@pytest.mark.parametrize("server", ["weed", "moto"])
def test_a_consoles_folder_is_listed_without_its_slash(request: pytest.FixtureRequest, server: str) -> None:
    place: Bucket = request.getfixturevalue("bucket" if server == "weed" else "moto_bucket")
    place.put("x/", b"")
    place.put("y.jpg", b"photo")
    page = list(S3Store(place.uri, place.storage()).entries())
    assert [(entry.name, entry.size) for entry in page] == [("x", 0), ("y.jpg", 5)]
    assert obstore_internals.restartable(page) == page
    assert obstore_internals.restartable(page[:1]) == []


def test_the_first_line_of_an_error_is_the_cause_without_obstores_source(bucket: Bucket, proxy: Proxy) -> None:
    proxy.expect(["busy"])
    error = error_of(lambda: obstore.get(objects(proxy.url, bucket.name), "x"))
    assert "Debug source" in str(error)
    assert "Debug source" not in obstore_internals.summary(error)
    assert "503" in obstore_internals.summary(error)


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Run a server that answers every request with 200 and this body."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
