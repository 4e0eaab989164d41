"""A request that reaches S3 after its run has lost the lock changes nothing of the run that took over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from fruitscale.errors import FruitscaleError, OutputError
from fruitscale.storage.fence import FencedS3Store
from tests.s3.bucket import Bucket
from tests.s3.proxy import Proxy, Seen

NAME, NEXT = "features/part-00000.parquet", "_run/next/features/part-00000.parquet"


def fenced(bucket: Bucket, proxy: Proxy | None = None) -> FencedS3Store:
    """Return the store of a run; one behind the proxy has lost the lock when its request is no longer held back."""

    def check() -> None:
        if proxy is not None and proxy.held is not None and proxy.held.released.is_set():
            raise OutputError("another run took over")

    return FencedS3Store(bucket.store(proxy.url if proxy is not None else None, retry_seconds=0.0), check)


def is_write(seen: Seen) -> bool:
    return seen.method in ("PUT", "DELETE")


def late(proxy: Proxy, change: Callable[[], None], takeover: Callable[[], None], *, half: bool = False) -> int | None:
    """Make a change whose request is held back until `takeover` has ended; return the status of its response."""
    hold = proxy.hold(is_write, half=half)

    def attempt() -> None:
        with suppress(FruitscaleError):
            change()

    changing = threading.Thread(target=attempt)
    changing.start()
    assert hold.arrived.wait(30)
    takeover()
    hold.released.set()
    assert hold.answered.wait(30)
    changing.join(60)
    assert not changing.is_alive()
    return hold.status


@pytest.mark.parametrize("half", [False, True], ids=["request", "body"])
@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replaced"])
def test_a_late_write(bucket: Bucket, proxy: Proxy, before: bytes | None, *, half: bool) -> None:
    store = fenced(bucket, proxy)
    if before is not None:
        store.write(NAME, before)
    status = late(
        proxy, lambda: store.write(NAME, b"late"), lambda: fenced(bucket).write(NAME, b"successor"), half=half
    )
    assert status == 412
    assert bucket.get(NAME) == b"successor"


def test_a_late_deletion(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put(NAME, b"old")
    status = late(proxy, lambda: fenced(bucket, proxy).delete(NAME), lambda: fenced(bucket).write(NAME, b"successor"))
    assert status == 412
    assert bucket.get(NAME) == b"successor"


@pytest.mark.parametrize("after", [None, b"the successor's own"], ids=["gone", "another"])
def test_a_late_copy(bucket: Bucket, proxy: Proxy, after: bytes | None) -> None:
    bucket.put(NEXT, b"new")
    bucket.put(NAME, b"old")

    def finish() -> None:  # the successor finishes the switch, then replaces the run by one with the old content
        fenced(bucket).move(NEXT, NAME)
        bucket.put(NAME, b"old")
        if after is not None:
            bucket.put(NEXT, after)

    status = late(proxy, lambda: fenced(bucket, proxy).move(NEXT, NAME), finish)
    assert status in (404, 412)
    assert bucket.get(NAME) == b"old"


def test_a_copy_and_a_deletion_whose_responses_were_lost(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put(NEXT, b"new")
    store = FencedS3Store(bucket.store(proxy.url), lambda: None)
    proxy.expect(["pass", "lost", "pass", "lost"])  # HEAD, the copy twice, the deletion twice
    store.move(NEXT, NAME)
    assert bucket.names() == [NAME]
    assert bucket.get(NAME) == b"new"
    assert store.retries.writes == 2
    assert not [seen for seen in proxy.seen if seen.method == "GET"]
