"""Opens regular files only, without blocking: pipes, devices and sockets are refused, as photos and as configs.

The one exception is a config that the shell hands over as an open pipe, as in `--config <(…)`.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
from pathlib import Path

MOST_CONFIG_BYTES = 1_000_000
PIPE_SECONDS = 10.0
_OPEN_FILE = re.compile(r"/dev/(stdin|fd/\d+)|/proc/self/fd/\d+")
"""Names of files that are already open, on Linux and macOS."""
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
            raise _too_large(path, most_bytes)
        return file.read()


def read_config(path: str | Path) -> bytes:
    """Return the content of a config: a regular file, or a pipe that this process was started with.

    Raises OSError, also if it is larger than `MOST_CONFIG_BYTES`, or if the pipe is not closed in time.
    """
    is_open = _OPEN_FILE.fullmatch(str(path)) is not None
    if not (is_open and stat.S_ISFIFO(Path(path).stat().st_mode)):
        return read_regular(path, MOST_CONFIG_BYTES)
    descriptor, content = os.open(path, _FLAGS), b""
    deadline = time.monotonic() + PIPE_SECONDS
    try:
        while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            some = os.read(descriptor, MOST_CONFIG_BYTES)
            content += some
            if len(content) > MOST_CONFIG_BYTES:
                raise _too_large(path, MOST_CONFIG_BYTES)
            if not some:
                return content
    finally:
        os.close(descriptor)
    raise OSError(errno.ETIMEDOUT, f"The pipe was not closed within {PIPE_SECONDS:g} s", str(path))


def read_head(path: str | Path, size: int) -> bytes:
    """Return the first bytes of a regular file."""
    descriptor = open_regular(path)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _too_large(path: str | Path, most_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"It is larger than {most_bytes / 1e6:g} MB", str(path))


def _refused(path: str | Path, mode: int) -> NotRegularError:
    if stat.S_ISDIR(mode):
        return NotRegularError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return NotRegularError(errno.EINVAL, "It is not a regular file", str(path))
