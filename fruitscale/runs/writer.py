"""The one writer of a run folder: it holds the lock, and removes the real paths that a killed run left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fruitscale.errors import FruitscaleError
from fruitscale.runs import old_versions
from fruitscale.runs.journal import PurgedVersions
from fruitscale.runs.manifest import PRIVATE
from fruitscale.runs.replacement import NEXT, finish_pending
from fruitscale.storage import lock
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.store import Store

_PRIVATES = (PRIVATE, f"{NEXT}/{PRIVATE}")


@contextmanager
def writing(store: Store, run_id: str) -> Iterator[Store]:
    """Hold a run folder's lock, and yield the store to write with.

    Removes real paths that a killed run left, and finishes a switch from an old run to a new one that was interrupted.

    Raises OutputError if another run holds the lock, StorageError if the folder can't be written.
    """
    with lock.locked(store, run_id) as held:
        for name in _remove_paths(held):
            old_versions.purge(held, [name], under=name)
        finish_pending(held)
        yield held


def remove_private_paths(store: Store) -> str | None:
    """Remove the table of real paths, also its old versions in a bucket; return why it may still exist, or None.

    For the end of a run, however it ends: it never raises for a store that fails, and does not wait for it long.
    """
    store = store.brief() if isinstance(store, S3Store) else store
    try:
        _remove_paths(store)
        purges = [old_versions.purge(store, [name], under=name) for name in _PRIVATES]
    except FruitscaleError as error:
        return f"{PRIVATE} with the real paths could not be removed: {error.message} The next command on this folder does it."
    return _problem(store, purges)


def _problem(store: Store, purges: list[PurgedVersions]) -> str | None:
    if not any(purged.remaining for purged in purges):
        return None
    return (
        f"Old versions of {store.uri}/{PRIVATE}, with the real paths, may remain in the bucket. Removing them needs "
        "s3:ListBucketVersions and s3:DeleteObjectVersion, or a lifecycle rule (NoncurrentVersionExpiration)."
    )


def _remove_paths(store: Store) -> list[str]:
    """Remove the tables of real paths, and unfinished writes of them; return their names."""
    if isinstance(store, S3Store):
        names = [name for name in _PRIVATES if store.exists(name)]
    else:
        names = [name for name in store.names("_run/") if name.startswith(_PRIVATES)]
    for name in names:
        store.delete(name)
    return names
