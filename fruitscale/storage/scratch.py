"""Temporary folders, removed with their process: those that a killed process left behind are removed at the next start.

Each holds a file that its owner keeps locked. Only a folder of this user and this machine whose lock is free is removed:
its owner is dead.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from fruitscale.errors import StorageError
from fruitscale.storage.system_errors import NO_LOCKS

PREFIX, OWNER = "fruitscale-", ".owner"


class ScratchFolder:
    """A temporary folder; as a context manager, it removes itself. Raises StorageError if none can be created."""

    def __init__(self, purpose: str = "", parent: Path | None = None) -> None:
        sweep_once()
        self._descriptor: int | None = None
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-" if purpose else PREFIX, dir=parent))
            self._descriptor = _own(self.path)
        except OSError as error:
            raise StorageError(
                f"No temporary folder can be created: {error.strerror or error}.",
                f"Free space in {parent or _folder()}, or set TMPDIR to a folder on another disk.",
            ) from None

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder with its files. May be called twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()

    def keep(self) -> None:
        """Leave the folder, which a message names: no later run removes it."""
        with suppress(OSError):
            (self.path / OWNER).unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def sweep(folder: Path) -> int:
    """Remove the temporary folders in a folder whose owner is dead; return their number."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name.startswith(PREFIX)]
    except OSError:
        return 0
    return sum(_remove_if_dead(Path(entry.path)) for entry in entries if _is_ours(entry))


@cache
def sweep_once() -> None:
    """Sweep the folder of temporary files, once per process."""
    with suppress(OSError):
        sweep(Path(tempfile.gettempdir()))


def _own(folder: Path) -> int:
    """Write the owner's file and lock it; it has its name only once it is locked. Returns its open descriptor."""
    draft = folder / f"{OWNER}-new"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:  # then nobody can prove that this process is dead, and the folder is never swept
            return descriptor
        os.close(descriptor)
        raise
    draft.rename(folder / OWNER)
    return descriptor


def _is_ours(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except OSError:
        return False


def _remove_if_dead(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if json.loads(os.read(descriptor, 4096))["host"] != platform.node():
            return False
    except (OSError, ValueError, LookupError, TypeError):
        return False
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # no folder of temporary files is writable
        return "/tmp"  # noqa: S108
