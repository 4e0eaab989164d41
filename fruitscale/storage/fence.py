"""Fenced stores: a run writes only while it holds the lock, and on S3 never over an object it has not seen.

Two things keep a run that lost its lock from harming the run that took over. Before each attempt of a write, the fence
checks that the lock is still held; that stops a process that was suspended or cut off. A request that had already left
is harmless because it is conditional: it creates an object, or replaces or removes the version this run has seen, so it
fails once the new holder has written there, and is overwritten by the new holder otherwise. A copy needs its source, which
is removed by the run that finishes the switch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from fruitscale.errors import ChangedObjectError, MissingObjectError, StorageError
from fruitscale.storage.s3 import BRIEF_SECONDS, S3Store
from fruitscale.storage.store import LocalStore

T = TypeVar("T")
Check = Callable[[], None]
MAX_CONFLICTS = 5
"""How often an object may change under one write. The holder of the lock is the only one that writes for long."""


def clock() -> float:
    """Return monotonic seconds that include time suspended; on Linux, `time.monotonic` excludes it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class FencedLocalStore(LocalStore):
    """A folder on disk whose writes are checked first."""

    def __init__(self, store: LocalStore, check: Check) -> None:
        super().__init__(store.root)
        self.retries = store.retries
        self.check = check

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Write a file while the lock is held. Raises OutputError if it is not."""
        self.check()
        super().write(name, content, durable=durable)

    def move(self, old: str, new: str) -> None:
        """Rename a file while the lock is held. Raises OutputError if it is not."""
        self.check()
        super().move(old, new)

    def delete(self, name: str) -> None:
        """Remove a file while the lock is held. Raises OutputError if it is not."""
        self.check()
        super().delete(name)


class FencedS3Store(S3Store):
    """Objects under a prefix, written conditionally and while the lock is held."""

    def __init__(self, store: S3Store, check: Check, etags: dict[str, str] | None = None) -> None:
        super().__init__(store.uri, store.storage)
        self.retries = store.retries
        self.check = check
        self._etags: dict[str, str] = {} if etags is None else etags

    def brief(self, timeout_seconds: float = BRIEF_SECONDS) -> FencedS3Store:
        """Return this store with a short timeout and retry budget, fenced as it is."""
        return FencedS3Store(super().brief(timeout_seconds), self.check, self._etags)

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Create an object, or replace its current version. Raises OutputError if the lock is not held."""
        for _ in range(MAX_CONFLICTS):
            seen = self._etags.get(name)
            try:
                etag = self.create(name, content) if seen is None else self.replace(name, content, seen)
            except ChangedObjectError:  # written by an earlier run, or by our own request whose response was lost
                self._look_again(name)
            else:
                self._etags[name] = etag
                return
        raise self._contested(name, "written")

    def move(self, old: str, new: str) -> None:
        """Copy an object to its new name, and remove the old one. Raises OutputError if the lock is not held."""
        self._etags.pop(old, None)
        self._etags.pop(new, None)
        super().move(old, new)

    def delete(self, name: str) -> None:
        """Remove an object's current version, if the store has conditional deletions; else whichever version it has.

        Raises OutputError if the lock is not held.
        """
        for _ in range(MAX_CONFLICTS):
            if name not in self._etags:
                self._look_again(name)
            seen = self._etags.pop(name, None)
            if seen is None:
                return None
            with suppress(ChangedObjectError):  # by one of this run's workers
                return self.delete_version(name, seen)
        raise self._contested(name, "removed")

    def _contested(self, name: str, participle: str) -> StorageError:
        return StorageError(
            f"{self.uri}/{name} can't be {participle}: something else keeps changing it.",
            "Check that the store supports conditional writes (If-Match), and that nothing else writes there.",
        )

    def _look_again(self, name: str) -> None:
        try:
            self._etags[name] = self.stat(name)[1]
        except MissingObjectError:
            self._etags.pop(name, None)

    def _request(self, verb: str, name: str, send: Callable[[str], T]) -> T:
        if verb != "write":
            return super()._request(verb, name, send)

        def checked(key: str) -> T:  # before each attempt: a retry may come long after the first one
            self.check()
            return send(key)

        return super()._request(verb, name, checked)
