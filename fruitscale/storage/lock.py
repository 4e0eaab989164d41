"""The lock of a run folder: one run writes it at a time."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fruitscale.errors import MissingObjectError, OutputError, StorageError
from fruitscale.storage.fence import FencedLocalStore, FencedS3Store, clock
from fruitscale.storage.lease import leased
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.store import LocalStore, Store
from fruitscale.storage.system_errors import NO_LOCKS

NAME = "_run/lock"
CHECK_SECONDS = 5.0
"""How long a worker relies on having read the lock."""


@contextmanager
def locked(store: Store, run_id: str) -> Iterator[Store]:
    """Hold a run folder's lock, and yield the store to write with, which refuses to write once the lock is lost.

    Raises OutputError if another run holds it, StorageError if it can't be written.
    """
    if isinstance(store, S3Store):
        with leased(store, NAME, run_id) as lease:
            yield FencedS3Store(store, lease.check)
    else:
        assert isinstance(store, LocalStore)
        with _flocked(store, run_id):
            yield store


def fenced(store: Store, run_id: str) -> FencedS3Store | FencedLocalStore:
    """Return the store that a worker writes with: it reads the lock first, unless it has done so just now."""
    check = LockCheck(store, run_id)
    if isinstance(store, S3Store):
        return FencedS3Store(store, check)
    assert isinstance(store, LocalStore)
    return FencedLocalStore(store, check)


class LockCheck:
    """Raises OutputError if another run has the lock; reads it again after a few seconds only."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._checked = -CHECK_SECONDS

    def __call__(self) -> None:
        """Read the lock, if it was not read just now. Raises OutputError if another run has it."""
        began = clock()
        if began - self._checked >= CHECK_SECONDS:
            check_held(self._store, self._run_id)
            self._checked = began


@contextmanager
def _flocked(store: LocalStore, run_id: str) -> Iterator[None]:
    """Hold a `flock`: the system releases it when its holder dies, so no lock is ever stale."""
    path = store.root / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _not_writable(store, error) from None
    try:
        _take(descriptor, path, store)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps({"run": run_id, "host": platform.node(), "pid": os.getpid()}).encode())
        except OSError as error:
            raise _not_writable(store, error) from None
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, store: LocalStore) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise StorageError(
                f"The file system of {store.root} can't lock files ({error.strerror}), so two runs could write there.",
                "Mount it with locks (NFS: version 4, or a running rpc.statd), or choose another --output.",
            ) from None
        if not isinstance(error, BlockingIOError):
            raise _not_writable(store, error) from None
        try:
            holder = json.loads(path.read_text())
            process = f"process {holder['pid']} on {holder['host']}"
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            process = "another process"
        raise OutputError(
            f"Another run is writing {store.root}: {process}.", "Wait for it to end, or choose another --output."
        ) from None


def _not_writable(store: LocalStore, error: OSError) -> StorageError:
    reason = error.strerror or type(error).__name__
    return StorageError(f"The output {store.root} can't be written: {reason}.", "Choose another --output.")


def check_held(store: Store, run_id: str) -> None:
    """Raise OutputError if another run took the lock: a worker presumed dead must not write."""
    try:
        holder = json.loads(store.read(NAME)).get("run")
    except (MissingObjectError, ValueError, AttributeError, RecursionError):
        holder = None
    if holder != run_id:
        raise OutputError(f"Another run took over {store.uri} from this one ({run_id}), so this task stops.")
