"""The lock of a run folder on S3: an object that its holder renews, and that another run takes over after 30 s of silence."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from fruitscale.errors import ChangedObjectError, FruitscaleError, MissingObjectError, OutputError
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.waiting import report_wait

RENEW_SECONDS = 10.0
SILENCE_SECONDS = 30.0
POLL_SECONDS = 2.0


@contextmanager
def leased(store: S3Store, name: str, run_id: str) -> Iterator[None]:
    """Hold the lock object within the block. Raises OutputError if another run holds it.

    If the holder may be dead, waits for its silence, and reports that it waits.
    """
    lease = _Lease(store, name, run_id)
    lease.take()
    renewing = threading.Thread(target=lease.renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        lease.ended.set()
        renewing.join()
        lease.release()


class LeaseHolder(NamedTuple):
    """Who holds a lease: a process in words, its run, and the lock object's ETag."""

    process: str
    run_id: str
    etag: str


class _Lease:
    def __init__(self, store: S3Store, name: str, run_id: str) -> None:
        self.store, self.name, self.run_id = store, name, run_id
        self._brief = store.brief()
        self.ended = threading.Event()
        self._etag: str | None = None

    def take(self) -> None:
        """Create the object, or replace one whose holder has been silent."""
        try:
            self._etag = self.store.create(self.name, self._content())
        except ChangedObjectError:
            self._take_over()

    def renew(self) -> None:
        """Rewrite the object every 10 s, so that others know its holder is alive."""
        while not self.ended.wait(RENEW_SECONDS):
            if self._etag is None:
                return  # another run has the lock; tasks notice before they write
            with suppress(FruitscaleError):  # the store does not answer: tasks report that, or it comes back
                self._replace(self._brief, self._etag)

    def release(self) -> None:
        """Remove the object if it is still this run's."""
        with suppress(FruitscaleError):  # the next run then waits for its silence
            if self._own_etag(self._brief) is not None:
                self._brief.delete(self.name)

    def _take_over(self) -> None:
        holder = self._holder(self.store)
        if holder is None:
            return self.take()
        if holder.run_id == self.run_id:  # our own request, whose response was lost
            self._etag = holder.etag
            return None
        report_wait(f"waiting {SILENCE_SECONDS:.0f} s to see whether {holder.process} is still running")
        since = time.monotonic()
        while time.monotonic() - since < SILENCE_SECONDS:
            time.sleep(POLL_SECONDS)
            current = self._holder(self.store)
            if current is None:
                return self.take()
            if current.etag != holder.etag:
                raise self._refused(current.process)
        self._replace(self.store, holder.etag)
        if self._etag is None:
            raise self._refused("a third run")
        return None

    def _replace(self, store: S3Store, etag: str) -> None:
        """Replace the object of this ETag; if it is not ours afterwards, another run has taken it."""
        try:
            self._etag = store.replace(self.name, self._content(), etag)
        except ChangedObjectError:  # perhaps by our own request, whose response was lost
            self._etag = self._own_etag(store)

    def _holder(self, store: S3Store) -> LeaseHolder | None:
        """Return who holds the lock, or None if it is free."""
        try:
            content, etag = store.read_etag(self.name)
        except MissingObjectError:
            return None
        try:
            stored = json.loads(content)
            return LeaseHolder(f"process {stored['pid']} on {stored['host']}", str(stored["run"]), etag)
        except (ValueError, KeyError, TypeError):
            return LeaseHolder("another process", "", etag)

    def _own_etag(self, store: S3Store) -> str | None:
        holder = self._holder(store)
        return holder.etag if holder is not None and holder.run_id == self.run_id else None

    def _content(self) -> bytes:
        content = {"run": self.run_id, "host": platform.node(), "pid": os.getpid(), "renewed": time.time()}
        return json.dumps(content).encode()

    def _refused(self, holder: str) -> OutputError:
        return OutputError(
            f"Another run is writing {self.store.uri}: {holder}.", "Wait for it to end, or choose another --output."
        )
