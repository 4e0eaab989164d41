"""Standard streams that don't end a run: a stderr that can't be written, or streams that are closed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast


class TolerantStream:
    """A text stream whose writes are dropped when they fail: the disk of a log is full, a pipe is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines, or drop them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  the stream's own
        return getattr(self._stream, name)


def protect() -> None:
    """Open streams that are closed to nowhere, and let no failed write to stderr end the process."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file opened, perhaps a part, would become the stream
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  open to the end
    with suppress(AttributeError, ValueError):
        cast("Any", sys.stdout).reconfigure(errors="backslashreplace")  # a terminal may have no UTF-8
    if not isinstance(sys.stderr, TolerantStream):
        sys.stderr = cast("TextIO", TolerantStream(sys.stderr))


def drop_stdout() -> None:
    """Send what stdout still holds nowhere, if it can't be written, so that Python does not fail at its exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
