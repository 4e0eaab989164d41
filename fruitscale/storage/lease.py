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
from fruitscale.storage.fence import clock
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.waiting import report_wait

RENEW_SECONDS = 10.0
SILENCE_SECONDS = 30.0
POLL_SECONDS = 2.0
VALID_SECONDS = 20.0
"""How long the holder may write after a renewal. The rest of the silence is a margin for requests in flight."""
RENEW_TIMEOUT_SECONDS = 5.0
"""The timeout of a renewal: far below the silence, so that a lost response does not cost a living run its lock."""


@contextmanager
def leased(store: S3Store, name: str, run_id: str) -> Iterator[Lease]:
    """Hold the lock object within the block, and yield the lease. Raises OutputError if another run holds it.

    If the holder may be dead, waits for 30 s without a heartbeat, and reports the wait.
    """
    lease = Lease(store, name, run_id)
    lease.take()
    renewing = threading.Thread(target=lease.renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        lease.ended.set()
        renewing.join()
        lease.release()


class LeaseHolder(NamedTuple):
    """Who holds a lease: a process in words, its run, and the lock object's ETag."""

    process: str
    run_id: str
    etag: str


class Lease:
    """The lock object of one run, renewed in a thread."""

    def __init__(self, store: S3Store, name: str, run_id: str) -> None:
        self.store, self.name, self.run_id = store, name, run_id
        self._brief = store.brief(RENEW_TIMEOUT_SECONDS)
        self.ended = threading.Event()
        self._renewing = threading.Lock()
        self._etag: str | None = None
        self._valid_until = 0.0

    def check(self) -> None:
        """Raise OutputError if another run has the lock. Renews it first if the last renewal was too long ago."""
        if self._etag is not None and clock() >= self._valid_until:  # suspended, or cut off from the store
            with self._renewing:
                self._etag = self._own_etag(self.store)  # None too if the successor has ended and removed the lock
            self._renew_with(self.store)
        if self._etag is None:
            raise OutputError(
                f"Another run took over {self.store.uri} while this one ({self.run_id}) was suspended or cut off.",
                "Nothing of the other run was changed. Run the same command again once it has ended.",
            )

    def take(self) -> None:
        """Create the object, or replace one whose holder has been silent."""
        began = clock()
        try:
            self._hold(self.store.create(self.name, self._content()), began)
        except ChangedObjectError:
            self._take_over()

    def renew(self) -> None:
        """Rewrite the object every 10 s, so that others know its holder is alive."""
        while not self.ended.wait(RENEW_SECONDS):
            if self._etag is None:
                return  # another run has the lock: every further write is refused
            with suppress(FruitscaleError):  # the store does not answer: writes report that, or it comes back
                self._renew_with(self._brief)

    def release(self) -> None:
        """Remove the object if it is still this run's."""
        with suppress(FruitscaleError):  # the next run then waits for its silence
            if (etag := self._own_etag(self._brief)) is not None:
                self._brief.delete_version(self.name, etag)

    def _take_over(self) -> None:
        holder = self._holder(self.store)
        if holder is None:
            return self.take()
        if holder.run_id == self.run_id:  # our own request, whose response was lost
            self._replace(self.store, holder.etag)
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
        began = clock()
        try:
            self._hold(store.replace(self.name, self._content(), etag), began)
        except ChangedObjectError:  # perhaps by our own request, whose response was lost
            self._hold(self._own_etag(store), began)

    def _renew_with(self, store: S3Store) -> None:
        with self._renewing:  # by the thread, or by a write that found the last renewal too old
            if self._etag is not None:
                self._replace(store, self._etag)

    def _hold(self, etag: str | None, since: float) -> None:
        self._etag, self._valid_until = etag, since + VALID_SECONDS

    def _holder(self, store: S3Store) -> LeaseHolder | None:
        """Return who holds the lock, or None if it is free."""
        try:
            content, etag = store.read_etag(self.name)
        except MissingObjectError:
            return None
        try:
            stored = json.loads(content)
            return LeaseHolder(f"process {stored['pid']} on {stored['host']}", str(stored["run"]), etag)
        except (ValueError, KeyError, TypeError, RecursionError):
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
