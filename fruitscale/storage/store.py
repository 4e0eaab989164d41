"""One place for bytes under a URI: a folder on disk. Writes are atomic: a name holds the whole content or nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from fruitscale.config.schema import Storage
from fruitscale.errors import ChangedObjectError, MissingObjectError, StorageError
from fruitscale.uris import is_s3, local_path

STAGING_MARK = ".staging-"
"""Part of the name of a file that is still being written; a kill can leave one, and the next run sweeps it."""


class Store(Protocol):
    """Bytes by name under one URI; names are relative and `/`-separated."""

    uri: str

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return the content. Raises MissingObjectError, ChangedObjectError (not this version) or StorageError."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Put the whole content there at once, in place of what was there. Raises StorageError."""
        ...

    def exists(self, name: str) -> bool:
        """Tell whether there is such a name. Raises StorageError when the store gives no answer."""
        ...

    def delete(self, name: str) -> None:
        """Remove a name; one that isn't there is no error. Raises StorageError."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names under a prefix that ends in `/`, in no order. Raises StorageError."""
        ...


def open_store(uri: str, storage: Storage) -> Store:
    """Open what a URI names. Raises UsageError for a scheme that is not known."""
    if is_s3(uri):
        from fruitscale.storage.s3 import S3Store

        return S3Store(uri, storage)
    return LocalStore(local_path(uri))


class LocalStore:
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)

    def read(self, name: str, version: str | None = None) -> bytes:
        """Return a file's content; the version is of the file that was opened, so there is no gap between the two."""
        path = self.root / name
        try:
            with path.open("rb") as file:
                if version is not None and file_version(os.fstat(file.fileno())) != version:
                    raise ChangedObjectError(f"{path} changed since it was listed.")
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            raise MissingObjectError(f"{path} does not exist.") from None
        except OSError as error:
            raise _refused(path, "read", error) from None

    def write(self, name: str, content: bytes) -> None:
        """Write beside the name, then rename."""
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
            raise _refused(path, "written", error) from None

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        path = self.root / name
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _refused(path, "read", error) from None
        return True

    def delete(self, name: str) -> None:
        """Remove a file."""
        path = self.root / name
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise _refused(path, "removed", error) from None

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the files below a folder."""

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise _refused(Path(error.filename), "listed", error)

        for folder, _, files in os.walk(self.root / prefix, onerror=refuse):
            for file in files:
                yield (Path(folder) / file).relative_to(self.root).as_posix()


def file_version(status: os.stat_result) -> str:
    """Name what a file on disk holds: its modification time in nanoseconds, and its size."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def sweep(store: Store, prefixes: Iterable[str]) -> int:
    """Remove what a kill can leave of unfinished writes; return how many there were."""
    stale = [name for prefix in prefixes for name in store.names(prefix) if STAGING_MARK in name.rsplit("/", 1)[-1]]
    for name in stale:
        store.delete(name)
    return len(stale)


def _refused(path: Path, done: str, error: OSError) -> StorageError:
    reason = error.strerror or type(error).__name__
    return StorageError(f"{path} can't be {done}: {reason}.", "Check the path, its permissions and the disk.")
