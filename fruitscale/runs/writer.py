"""The one writer of a run folder: it holds the lock, and removes the real paths that a killed run left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fruitscale.errors import FruitscaleError
from fruitscale.runs import old_versions
from fruitscale.runs.journal import PurgedVersions
from fruitscale.runs.manifest import PRIVATE
from fruitscale.storage import lock
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.store import Store


@contextmanager
def writing(store: Store, run_id: str) -> Iterator[Store]:
    """Hold a run folder's lock, without real paths in the folder, and yield the store to write with.

    Raises OutputError if another run holds the lock, StorageError if the folder can't be written.
    """
    with lock.locked(store, run_id) as held:
        if _remove_paths(held):
            old_versions.purge(held, [PRIVATE], under=PRIVATE)
        yield held


def remove_private_paths(store: Store) -> str | None:
    """Remove the table of real paths, also its old versions in a bucket; return why it may still exist, or None.

    For the end of a run, however it ends: it never raises for a store that fails, and does not wait for it long.
    """
    store = store.brief() if isinstance(store, S3Store) else store
    try:
        _remove_paths(store)
        purged = old_versions.purge(store, [PRIVATE], under=PRIVATE)
    except FruitscaleError as error:
        return f"{PRIVATE} with the real paths could not be removed: {error.message} The next command on this folder does it."
    return _problem(store, purged)


def _problem(store: Store, purged: PurgedVersions) -> str | None:
    if not purged.remaining:
        return None
    return (
        f"Old versions of {store.uri}/{PRIVATE}, with the real paths, may remain in the bucket. Removing them needs "
        "s3:ListBucketVersions and s3:DeleteObjectVersion, or a lifecycle rule (NoncurrentVersionExpiration)."
    )


def _remove_paths(store: Store) -> bool:
    """Remove the table of real paths, and unfinished writes of it; return whether there were any."""
    if isinstance(store, S3Store):
        names = [PRIVATE] if store.exists(PRIVATE) else []
    else:
        names = [name for name in store.names("_run/") if name.startswith(PRIVATE)]
    for name in names:
        store.delete(name)
    return bool(names)
