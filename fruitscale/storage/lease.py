"""The lock of a run folder on S3: an object that its holder renews, and that another run takes over after silence."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from fruitscale.errors import ChangedObjectError, FruitscaleError, MissingObjectError, OutputError
from fruitscale.storage.s3 import S3Store

RENEW_SECONDS = 10.0
SILENCE_SECONDS = 30.0
LOOK_SECONDS = 2.0


@contextmanager
def leased(store: S3Store, name: str, run_id: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock object for as long as the block lasts. Raises OutputError when another run holds it.

    `on_wait` is told in words that this run waits for the silence of one that seems dead.
    """
    lease = _Lease(store, name, run_id)
    lease.take(on_wait)
    renewing = threading.Thread(target=lease.renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        lease.ended.set()
        renewing.join()
        lease.give_back()


class _Lease:
    def __init__(self, store: S3Store, name: str, run_id: str) -> None:
        self.store, self.name, self.run_id = store, name, run_id
        self._brief = store.brief()
        self.ended = threading.Event()
        self._etag: str | None = None

    def take(self, on_wait: Callable[[str], None]) -> None:
        """Create the object, or replace one whose holder has been silent."""
        try:
            self._etag = self.store.create(self.name, self._content())
        except ChangedObjectError:
            self._take_over(on_wait)

    def renew(self) -> None:
        """Write the object anew now and then, so that others see that the holder lives."""
        while not self.ended.wait(RENEW_SECONDS):
            if self._etag is None:
                return  # it is another run's by now: the tasks see that before they write
            with suppress(FruitscaleError):  # the store is away: the tasks say so, or it comes back
                self._write_anew(self._brief, self._etag)

    def give_back(self) -> None:
        """Remove the object, if it is still this run's."""
        with suppress(FruitscaleError):  # else it will look silent to the next run
            if self._own_etag(self._brief) is not None:
                self._brief.delete(self.name)

    def _take_over(self, on_wait: Callable[[str], None]) -> None:
        seen = self._look()
        if seen is None:
            return self.take(on_wait)
        holder, etag, run = seen
        if run == self.run_id:  # our own request, whose answer was lost
            self._etag = etag
            return None
        on_wait(f"waits {SILENCE_SECONDS:.0f} s to see whether {holder} is still at work")
        since = time.monotonic()
        while time.monotonic() - since < SILENCE_SECONDS:
            time.sleep(LOOK_SECONDS)
            now = self._look()
            if now is None:
                return self.take(on_wait)
            if now[1] != etag:
                raise self._refused(now[0])
        self._write_anew(self.store, etag)
        if self._etag is None:
            raise self._refused("a third run")
        return None

    def _write_anew(self, store: S3Store, etag: str) -> None:
        """Replace the object of this ETag; what is not ours afterwards is another run's."""
        try:
            self._etag = store.replace(self.name, self._content(), etag)
        except ChangedObjectError:  # also when it was our own request, whose answer was lost
            self._etag = self._own_etag(store)

    def _look(self, store: S3Store | None = None) -> tuple[str, str, str] | None:
        """Return who holds the lock, the object's ETag and the holder's run, or None when it is free."""
        try:
            content, etag = (store or self.store).read_etag(self.name)
        except MissingObjectError:
            return None
        try:
            told = json.loads(content)
            return f"process {told['pid']} on {told['host']}", etag, str(told["run"])
        except (ValueError, KeyError, TypeError):
            return "another process", etag, ""

    def _own_etag(self, store: S3Store) -> str | None:
        seen = self._look(store)
        return seen[1] if seen is not None and seen[2] == self.run_id else None

    def _content(self) -> bytes:
        told = {"run": self.run_id, "host": platform.node(), "pid": os.getpid(), "renewed": time.time()}
        return json.dumps(told).encode()

    def _refused(self, holder: str) -> OutputError:
        return OutputError(
            f"Another run is writing {self.store.uri}: {holder}.", "Wait for it to end, or choose another --output."
        )
