"""Stores: bytes by name under a URI, here a folder on disk. Writes are atomic: no reader ever sees a partial file."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from fruitscale.config.regular_files import NotRegularError, open_regular
from fruitscale.config.schema import Storage
from fruitscale.errors import ChangedObjectError, MissingObjectError, StorageError
from fruitscale.storage.retries import RetryCounts
from fruitscale.storage.system_errors import path_hint
from fruitscale.uris import is_s3, local_path

STAGING_MARK = ".staging-"
"""In the name of a file still being written. A killed process can leave one; the next run removes it."""


T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 8
"""Files on S3 processed concurrently: few, since each is whole in memory."""
SYNCS = 8
"""Files flushed concurrently: the file system commits them together."""


class Store(Protocol):
    """Bytes by name under one URI; names are relative and `/`-separated."""

    uri: str
    retries: RetryCounts
    is_remote: bool
    """Whether each request takes a round trip, so that several at once are faster."""

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return the content. Raises MissingObjectError, ChangedObjectError (another version) or StorageError."""
        ...

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Write or replace the content, atomically; if durable, a power cut no longer loses it. Raises StorageError."""
        ...

    def sync(self, names: Collection[str]) -> None:
        """Return once a power cut no longer loses these files. Raises StorageError."""
        ...

    def move(self, old: str, new: str) -> None:
        """Rename a file, replacing `new`. Raises MissingObjectError or StorageError."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether the name exists. Raises StorageError if the store fails."""
        ...

    def delete(self, name: str) -> None:
        """Remove a name; a missing one is not an error. Raises StorageError."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names under a prefix ending in `/`, in no particular order. Raises StorageError."""
        ...


def open_store(uri: str, storage: Storage) -> Store:
    """Return the store of a URI. Raises UsageError for an unknown scheme."""
    if is_s3(uri):
        from fruitscale.storage.s3 import S3Store

        return S3Store(uri, storage)
    return LocalStore(local_path(uri))


class LocalStore:
    """A folder on disk."""

    is_remote = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)
        self.retries = RetryCounts()  # stays 0: a disk is never retried

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return a file's content; the version is checked on the open file, so no change can slip in between."""
        path = self.root / name
        try:
            with open(open_regular(path), "rb", buffering=0) as file:  # noqa: PTH123  a descriptor
                if version is not None and file_version(os.fstat(file.fileno())) != version:
                    raise ChangedObjectError(f"{path} changed since it was listed.")
                return file.read()
        except NotRegularError as error:
            if version is not None:
                raise ChangedObjectError(f"{path} changed since it was listed.") from None
            raise _as_storage_error(path, "read", error) from None
        except (FileNotFoundError, NotADirectoryError):
            raise MissingObjectError(f"{path} does not exist.") from None
        except OSError as error:
            raise _as_storage_error(path, "read", error) from None

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Write to a temporary name beside it, then rename."""
        path = self.root / name
        staging = path.with_name(f"{path.name}{STAGING_MARK}{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                staging.write_bytes(content)
                if durable:
                    _sync_path(staging)
                staging.replace(path)
            except BaseException:
                staging.unlink(missing_ok=True)
                raise
            if durable:
                self._sync_folders([path])
        except OSError as error:
            raise _as_storage_error(path, "written", error) from None

    def sync(self, names: Collection[str]) -> None:
        """Flush files, then the folders that name them."""
        paths = [self.root / name for name in names]
        try:
            with ThreadPoolExecutor(SYNCS, "sync") as pool:
                for _ in pool.map(_sync_path, paths):
                    pass
            self._sync_folders(paths)
        except OSError as error:
            raise _as_storage_error(self.root, "written", error) from None

    def _sync_folders(self, paths: Collection[Path]) -> None:
        """Flush every folder between the files and the folder that holds the root."""
        folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(self.root)}
        for folder in sorted(folders | {self.root.parent}, reverse=True):
            _sync_path(folder)

    def move(self, old: str, new: str) -> None:
        """Rename a file."""
        source, target = self.root / old, self.root / new
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        except FileNotFoundError:
            raise MissingObjectError(f"{source} does not exist.") from None
        except OSError as error:
            raise _as_storage_error(target, "written", error) from None

    def exists(self, name: str) -> bool:
        """Return whether the file exists."""
        path = self.root / name
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _as_storage_error(path, "read", error) from None
        return True

    def delete(self, name: str) -> None:
        """Remove a file."""
        path = self.root / name
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise _as_storage_error(path, "removed", error) from None

    def remove_if_empty(self, name: str) -> None:
        """Remove a folder that holds nothing; links are left alone."""
        path = self.root / name
        if path.resolve() == self.root.resolve() / name:
            with suppress(OSError):
                path.rmdir()

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of all files below a folder."""
        folders = [self.root / prefix]
        while folders:  # os.walk recurses before Python 3.12
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    found = list(entries)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _as_storage_error(folder, "listed", error) from None
            for entry in found:
                if not _is_folder(entry):
                    yield Path(entry.path).relative_to(self.root).as_posix()
                elif not entry.is_symlink():
                    folders.append(Path(entry.path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a loop
        return False


class StoreView:
    """A store, or a folder within it, as a store of its own."""

    def __init__(self, store: Store, folder: str = "") -> None:
        self._store, self._base = store, f"{folder}/" if folder else ""
        self.uri = f"{store.uri.rstrip('/')}/{folder}" if folder else store.uri
        self.retries, self.is_remote = store.retries, store.is_remote

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return a file's content."""
        return self._store.read(self._base + name, version)

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Write a file."""
        self._store.write(self._base + name, content, durable=durable)

    def sync(self, names: Collection[str]) -> None:
        """Flush files."""
        self._store.sync([self._base + name for name in names])

    def move(self, old: str, new: str) -> None:
        """Rename a file within the folder."""
        self._store.move(self._base + old, self._base + new)

    def exists(self, name: str) -> bool:
        """Return whether the file exists."""
        return self._store.exists(self._base + name)

    def delete(self, name: str) -> None:
        """Remove a file."""
        self._store.delete(self._base + name)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of all files below a folder in this one."""
        for name in self._store.names(self._base + prefix):
            yield name.removeprefix(self._base)


def each(store: Store, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Apply a function to items and yield the results in order; on S3, a few at a time."""
    if not store.is_remote:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(AT_ONCE, "part") as pool:
        for start in range(0, len(items), AT_ONCE):
            yield from pool.map(function, items[start : start + AT_ONCE])


def file_version(status: os.stat_result) -> str:
    """Return the version of a file: its modification time in nanoseconds and its size."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def sweep(store: Store, prefixes: Iterable[str]) -> int:
    """Remove unfinished writes that a killed process left behind; return their number."""
    stale = [name for prefix in prefixes for name in store.names(prefix) if STAGING_MARK in name.rsplit("/", 1)[-1]]
    for name in stale:
        store.delete(name)
    return len(stale)


def _sync_path(path: Path) -> None:
    """Flush a file or folder; some network file systems can't flush a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _as_storage_error(path: Path, participle: str, error: OSError) -> StorageError:
    reason = error.strerror or type(error).__name__
    return StorageError(f"{path} can't be {participle}: {reason}.", path_hint(error))
