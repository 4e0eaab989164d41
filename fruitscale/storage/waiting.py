"""Reports that this process waits for a store or for another run, to whoever listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REPORT_EVERY_SECONDS = 30.0
"""How often a process reports that it waits for the same store."""

_lock = threading.Lock()
_listeners: list[Callable[[str], None]] = []
_last_reports: dict[str, float] = {}


@contextmanager
def listening(callback: Callable[[str], None]) -> Iterator[None]:
    """Call `callback` with each message reported within the block, on the thread that waits."""
    with _lock:
        _listeners.append(callback)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(callback)


def report_wait(message: str) -> None:
    """Pass a message to every listener."""
    with _lock:
        listeners = tuple(_listeners)
    for callback in listeners:
        callback(message)


def report_unavailable(bucket: str, retry_seconds: float) -> None:
    """Report that a bucket does not answer: once every 30 s for all requests that wait for it."""
    now = time.monotonic()
    with _lock:
        if now - _last_reports.get(bucket, -REPORT_EVERY_SECONDS) < REPORT_EVERY_SECONDS:
            return
        _last_reports[bucket] = now
    report_wait(f"s3://{bucket} does not answer; retrying for up to {retry_seconds:g} s (storage.retry_seconds)")
