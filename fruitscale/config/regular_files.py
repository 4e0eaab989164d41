"""Opens regular files only, without blocking: a pipe, a device or a socket in a photo's or a config's place is refused."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_CONFIG_BYTES = 1_000_000
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class NotRegularError(OSError):
    """A name that leads to a folder, a pipe, a device or a socket."""


def open_regular(path: str | Path) -> int:
    """Open a file; return its descriptor. Raises NotRegularError unless it is a regular file, as found after opening."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _refused(path, 0) from None
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _refused(path, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: str | Path, most_bytes: int | None = None) -> bytes:
    """Return a regular file's content. Raises OSError, also if it is larger than `most_bytes`."""
    with open(open_regular(path), "rb") as file:
        if most_bytes is not None and os.fstat(file.fileno()).st_size > most_bytes:
            raise OSError(errno.EFBIG, f"It is larger than {most_bytes / 1e6:g} MB", str(path))
        return file.read()


def read_head(path: str | Path, size: int) -> bytes:
    """Return the first bytes of a regular file."""
    descriptor = open_regular(path)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _refused(path: str | Path, mode: int) -> NotRegularError:
    if stat.S_ISDIR(mode):
        return NotRegularError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return NotRegularError(errno.EINVAL, "It is not a regular file", str(path))
