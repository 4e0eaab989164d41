"""Decodes photos in a child process, so that a photo that kills its decoder costs that process and not the worker.

Used only when a task is retried: a process and a copy of each photo would slow every run down.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from fruitscale import processes
from fruitscale.config.schema import Images
from fruitscale.kernels import images
from fruitscale.kernels.images import Pixels, Rejection

REASON = "crashed the decoder"
_FIRST_KILLED = "1000"


class CarefulDecoder:
    """Decodes in a child process, which is started for the first photo and again after each that killed it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def decode(self, content: bytes, size: int, settings: Images) -> tuple[Pixels | Rejection, str | None]:
        """Return what `images.decode_noting` returns, or a Rejection if it killed the process."""
        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send((content, size, settings))
            decoded: tuple[Pixels | Rejection, str | None] = self._connection.recv()
        except (EOFError, OSError):
            return Rejection(REASON, self._cause()), None
        return decoded

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            processes.stop(self._process)
        self._connection = self._process = None

    def _start(self) -> None:
        ours, theirs = Pipe()
        number = theirs.fileno()
        self._process = processes.start(__name__, [str(number)], output=subprocess.DEVNULL, pass_fds=[number])
        theirs.close()
        self._connection = ours

    def _cause(self) -> str:
        """Return how the process ended, and remove it."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        code = self._process.poll()
        self.close()
        if code == -signal.SIGKILL:
            return "Decoding it was killed (SIGKILL; the system does that when memory runs out)."
        if code is not None and code < 0:
            return f"Decoding it ended the process ({signal.Signals(-code).name})."
        return f"Decoding it ended the process (exit code {code})."


def serve(connection: Connection) -> None:
    """Decode photos until the worker closes the connection."""
    with contextlib.suppress(OSError):  # if memory runs out, the system ends this process rather than the worker
        Path("/proc/self/oom_score_adj").write_text(_FIRST_KILLED, encoding="ascii")
    with contextlib.suppress(EOFError, OSError):
        while True:
            request: Any = connection.recv()
            connection.send(images.decode_noting(*request))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
