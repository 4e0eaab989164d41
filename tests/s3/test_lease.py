"""The lock on S3: one run at a time, also when runs die, answers are lost and the store is away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from fruitscale.errors import OutputError, StorageError
from fruitscale.storage import lease, lock, s3
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.waiting import listening
from tests.s3.bucket import Bucket
from tests.s3.proxy import Proxy

RENEW, SILENCE, LOOK = 0.1, 1.5, 0.05


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short spans, in the same proportion."""
    for name, seconds in (("RENEW_SECONDS", RENEW), ("SILENCE_SECONDS", SILENCE), ("POLL_SECONDS", LOOK)):
        monkeypatch.setattr(lease, name, seconds)
    monkeypatch.setattr(s3, "BRIEF_SECONDS", RENEW)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def holder(store: S3Store) -> Any:
    return json.loads(store.read(lock.NAME))


def leave_dead(store: S3Store, run: str = "dead") -> None:
    """Leave what a killed run leaves."""
    store.write(lock.NAME, json.dumps({"run": run, "host": "far", "pid": 7, "renewed": 0}).encode())


@contextmanager
def holding(store: S3Store, run_id: str = "ours") -> Iterator[list[str]]:
    """Hold the lock; yield the reports of waiting for it."""
    reports: list[str] = []
    with listening(reports.append), lock.locked(store, run_id):
        yield reports


def test_it_is_taken_renewed_and_given_back(bucket: Bucket) -> None:
    store = bucket.store()
    with holding(store) as reports:
        first = store.read_etag(lock.NAME)
        assert holder(store)["run"] == "ours"
        wait_for(lambda: store.read_etag(lock.NAME) != first)
        assert holder(store)["run"] == "ours"
        lock.check_held(store, "ours")
    assert not reports
    assert bucket.names() == []


def test_a_second_run_is_refused_while_the_first_one_renews(bucket: Bucket) -> None:
    store = bucket.store()
    with holding(store):
        reports: list[str] = []
        with pytest.raises(OutputError, match=r"Another run is writing s3://.*: process") as caught:
            with listening(reports.append), lock.locked(store, "theirs"):
                raise AssertionError("it was let in")
        assert caught.value.hint == "Wait for it to end, or choose another --output."
        assert len(reports) == 1
        assert "still running" in reports[0]
        lock.check_held(store, "ours")
    assert bucket.names() == []


def test_a_silent_one_is_taken_over_and_its_tasks_stop(bucket: Bucket) -> None:
    store = bucket.store()
    leave_dead(store)
    lock.check_held(store, "dead")
    with holding(store) as reports:
        assert reports == ["waiting 2 s to see whether process 7 on far is still running"]
        assert holder(store)["run"] == "ours"
        with pytest.raises(OutputError, match=r"from this one \(dead\)"):
            lock.check_held(store, "dead")
    assert bucket.names() == []
    with pytest.raises(OutputError, match="took over"):  # nor when nobody holds it
        lock.check_held(store, "ours")


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff"])
def test_a_lock_that_cannot_be_read_is_taken_over_too(bucket: Bucket, content: bytes) -> None:
    store = bucket.store()
    store.write(lock.NAME, content)
    with pytest.raises(OutputError):
        lock.check_held(store, "ours")
    with holding(store) as reports:
        assert "another process" in reports[0]
        lock.check_held(store, "ours")


def test_what_is_given_back_while_it_is_waited_for_is_taken(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = bucket.store()
    monkeypatch.setattr(lease, "SILENCE_SECONDS", 60.0)
    leave_dead(store)

    def on_wait(_: str) -> None:
        store.delete(lock.NAME)

    with listening(on_wait), lock.locked(store, "ours"):
        lock.check_held(store, "ours")


def test_one_of_many_that_begin_at_once_holds_it(bucket: Bucket) -> None:
    store, together, held = bucket.store(), threading.Barrier(5), threading.Event()

    def begin(run_id: str) -> str | None:
        together.wait()
        try:
            with lock.locked(store, run_id):
                held.wait(60)
                lock.check_held(store, run_id)
        except OutputError:
            return None
        return run_id

    with ThreadPoolExecutor(5) as pool:
        runs = [pool.submit(begin, f"run-{i}") for i in range(5)]
        wait_for(lambda: sum(run.done() for run in runs) == 4)
        held.set()
        results = [run.result() for run in runs]
    assert len([result for result in results if result]) == 1


def test_one_of_two_that_wait_for_a_dead_one_takes_it_over(bucket: Bucket) -> None:
    store, together, held = bucket.store(), threading.Barrier(2), threading.Event()
    leave_dead(store)

    def begin(run_id: str) -> str:
        together.wait()
        try:
            with lock.locked(store, run_id):
                held.wait(60)
                lock.check_held(store, run_id)
        except OutputError as error:
            return error.message
        return run_id

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(begin, f"run-{i}") for i in range(2)]
        wait_for(lambda: any(run.done() for run in runs))
        held.set()
        results = sorted(run.result() for run in runs)
    assert results[0].startswith("Another run is writing")
    assert results[1] in ("run-0", "run-1")


@pytest.mark.parametrize("fate", ["lost", "reset"])
def test_a_create_whose_answer_was_lost_is_known_as_ones_own(bucket: Bucket, proxy: Proxy, fate: str) -> None:
    store = bucket.store(proxy.url)
    proxy.expect([fate])
    with holding(store) as reports:
        assert not reports
        lock.check_held(store, "ours")
        assert store.retries.writes > 0
        made = store.read_etag(lock.NAME)
        wait_for(lambda: store.read_etag(lock.NAME) != made)  # and it is renewed
    assert bucket.names() == []


def test_a_renewal_whose_answer_was_lost_is_known_as_ones_own(bucket: Bucket, proxy: Proxy) -> None:
    with holding(bucket.store(proxy.url)):
        lost = iter(["lost"] * 3)
        proxy.rule = lambda seen: next(lost, None) if seen.method == "PUT" else None
        wait_for(lambda: proxy.counts["lost"] == 3)
        made = bucket.store().read_etag(lock.NAME)
        wait_for(lambda: bucket.store().read_etag(lock.NAME) != made)
        lock.check_held(bucket.store(), "ours")


def test_it_is_renewed_again_after_an_outage(bucket: Bucket, proxy: Proxy) -> None:
    with holding(bucket.store(proxy.url, retry_seconds=600.0)):
        lost = iter(["lost"])
        proxy.rule = lambda seen: next(lost, None) if seen.method == "PUT" else "down" if proxy.counts["lost"] else None
        wait_for(lambda: proxy.counts["down"] > 8)  # a renewal's answer was lost, and whose it is can't be asked
        proxy.rule = lambda seen: None
        made = bucket.store().read_etag(lock.NAME)
        wait_for(lambda: bucket.store().read_etag(lock.NAME) != made)
        lock.check_held(bucket.store(), "ours")
    assert bucket.names() == []


def test_the_end_of_a_run_does_not_wait_for_a_store_that_is_away(bucket: Bucket, proxy: Proxy) -> None:
    with holding(bucket.store(proxy.url, retry_seconds=100_000.0)):
        proxy.down = True
    assert [json.loads(bucket.get(lock.NAME))["run"]] == ["ours"]  # to the next run it looks silent


def test_what_another_run_took_over_is_not_removed(bucket: Bucket) -> None:
    store = bucket.store()
    with holding(store):
        leave_dead(store, "theirs")
        with pytest.raises(OutputError):
            lock.check_held(store, "ours")
        wait_for(lambda: not [t for t in threading.enumerate() if t.name == "lease"])  # it has seen that, and stopped
    assert holder(store)["run"] == "theirs"


def test_a_store_that_does_not_answer_is_holding(bucket: Bucket, proxy: Proxy) -> None:
    proxy.down = True
    with pytest.raises(StorageError, match="can't be written"), holding(bucket.store(proxy.url, retry_seconds=0.5)):
        raise AssertionError("it was let in")
