"""Stores: bytes by name under a URI, here a folder on disk. Writes are atomic: no reader ever sees a partial file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from fruitscale.config.schema import Storage
from fruitscale.errors import ChangedObjectError, MissingObjectError, StorageError
from fruitscale.storage.retries import RetryCounts
from fruitscale.storage.system_errors import path_hint
from fruitscale.uris import is_s3, local_path

STAGING_MARK = ".staging-"
"""In the name of a file still being written. A killed process can leave one; the next run removes it."""


class Store(Protocol):
    """Bytes by name under one URI; names are relative and `/`-separated."""

    uri: str
    retries: RetryCounts

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return the content. Raises MissingObjectError, ChangedObjectError (another version) or StorageError."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write or replace the content, atomically. Raises StorageError."""
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

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)
        self.retries = RetryCounts()  # stays 0: a disk is never retried

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return a file's content; the version is checked on the open file, so no change can slip in between."""
        path = self.root / name
        try:
            with path.open("rb") as file:
                if version is not None and file_version(os.fstat(file.fileno())) != version:
                    raise ChangedObjectError(f"{path} changed since it was listed.")
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            raise MissingObjectError(f"{path} does not exist.") from None
        except OSError as error:
            raise _as_storage_error(path, "read", error) from None

    def write(self, name: str, content: bytes) -> None:
        """Write to a temporary name beside it, then rename."""
        path = self.root / name
        staging = path.with_name(f"{path.name}{STAGING_MARK}{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                staging.write_bytes(content)
                staging.replace(path)
            except BaseException:
                staging.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _as_storage_error(path, "written", error) from None

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


def file_version(status: os.stat_result) -> str:
    """Return the version of a file: its modification time in nanoseconds and its size."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def sweep(store: Store, prefixes: Iterable[str]) -> int:
    """Remove unfinished writes that a killed process left behind; return their number."""
    stale = [name for prefix in prefixes for name in store.names(prefix) if STAGING_MARK in name.rsplit("/", 1)[-1]]
    for name in stale:
        store.delete(name)
    return len(stale)


def _as_storage_error(path: Path, participle: str, error: OSError) -> StorageError:
    reason = error.strerror or type(error).__name__
    return StorageError(f"{path} can't be {participle}: {reason}.", path_hint(error))
