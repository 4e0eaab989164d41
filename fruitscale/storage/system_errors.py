"""Explains errors of the operating system: a full disk, a limit that was reached, a file system without locks."""

from __future__ import annotations

import errno
import tempfile

from fruitscale.config.regular_files import NotRegularError
from fruitscale.errors import StorageError

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of a file system, such as a network share, that can't lock files."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
LIMITS = "Lower slots or storage.concurrency, or raise the limits of processes and memory (ulimit -a)."
KNOWN = {
    errno.EMFILE: ("Too many files are open", "Raise the limit: ulimit -n 4096"),
    errno.ENFILE: ("Too many files are open on this machine", "Raise the limit: sysctl fs.file-max"),
    errno.ENOMEM: ("The system refused it", LIMITS),
    errno.EAGAIN: ("The system refused it", LIMITS),
}


def explain(error: BaseException) -> StorageError | None:
    """Return our own error for one of the system's; None for any other, which is a bug."""
    if isinstance(error, MemoryError):
        return StorageError("Memory ran out.", "Lower slots or shards.images, or use a machine with more memory.")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return StorageError(f"The system refused it: {error}.", LIMITS)
    if not isinstance(error, OSError) or error.errno is None:
        return None
    default = "A disk is full" if error.errno in FULL else "The system reported an error"
    problem, hint = KNOWN.get(error.errno, (default, path_hint(error)))
    where = f"{error.filename}: " if error.filename else ""
    return StorageError(f"{problem}: {where}{error.strerror or error}.", hint)


def path_hint(error: OSError) -> str:
    """Return how to fix an error about a path."""
    if error.errno == errno.ENAMETOOLONG:
        return "Move it to a folder with a shorter path."
    if error.errno in FULL:
        return full_hint()
    if isinstance(error, IsADirectoryError | NotADirectoryError | NotRegularError):  # a folder, a pipe
        return "Remove it or rename it, and run again."
    return "Check the path, its permissions and the disk."


def full_hint() -> str:
    """Return where space may be missing."""
    try:
        temporary = tempfile.gettempdir()
    except OSError:  # it writes a file to find out
        temporary = "TMPDIR"
    return f"Free space in --output and in {temporary} (temporary files; TMPDIR), then run the same command again."
