"""Decodes photos so that one that crashes or hangs its decoder ends neither the run nor the driver.

A worker decodes in its own process, with a limit on time that ends it; only when its task is retried, a child process
decodes, which costs a process and a copy of each photo. Nothing retries the driver, so it always decodes in children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import LifoQueue
from typing import Any, TypeAlias

from fruitscale import processes
from fruitscale.config.schema import Images
from fruitscale.kernels import images
from fruitscale.kernels.images import Pixels, Rejection

REASON = "crashed the decoder"
_FIRST_KILLED = "1000"
_BYTES_PER_CHILD = 100_000_000
"""Bytes of photos that are worth starting one more child (half a second)."""

Decoded: TypeAlias = tuple[Pixels | Rejection, str | None]


def decode_in_time(content: bytes, size: int, settings: Images, crop: float | None = None) -> Decoded:
    """Return what `images.decode_noting` returns; end this process if it takes more CPU time than `images.max_seconds`.

    No Python code can interrupt a native decoder. The kernel's timer ends the process by SIGVTALRM.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, settings.max_seconds)
    try:
        return images.decode_noting(content, size, settings, crop)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


class CarefulDecoder:
    """Decodes in a child process, which is started for the first photo and again after each that killed it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def decode(self, content: bytes, size: int, settings: Images, crop: float | None = None) -> Decoded:
        """Return what `images.decode_noting` returns, or a Rejection if it killed the process."""
        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send((content, size, settings, crop))
            decoded: Decoded = self._connection.recv()
        except (EOFError, OSError):
            return Rejection(REASON, self._cause(settings)), None
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

    def _cause(self, settings: Images) -> str:
        """Return how the process ended, and remove it."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        code = self._process.poll()
        self.close()
        if code == -signal.SIGVTALRM:
            return f"Decoding it took more than {settings.max_seconds} s (images.max_seconds)."
        if code == -signal.SIGKILL:
            return "Decoding it was killed (SIGKILL; the system does that when memory runs out)."
        if code is not None and code < 0:
            return f"Decoding it ended the process ({signal.Signals(-code).name})."
        return f"Decoding it ended the process (exit code {code})."


class CarefulDecoders:
    """A pool of children that decode for the driver's threads: one per 100 MB of photos, at most one per core."""

    def __init__(self, sizes: Iterable[int]) -> None:
        n_children = min(1 + sum(sizes) // _BYTES_PER_CHILD, os.cpu_count() or 1)
        self._all = [CarefulDecoder() for _ in range(n_children)]
        self._idle: LifoQueue[CarefulDecoder] = LifoQueue()
        for decoder in self._all:
            self._idle.put(decoder)

    def decode(self, content: bytes, size: int, settings: Images) -> Pixels | Rejection:
        """Return the pixels, or why there are none."""
        decoder = self._idle.get()
        try:
            return decoder.decode(content, size, settings)[0]
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.close()


def serve(connection: Connection) -> None:
    """Decode photos until the worker closes the connection."""
    with contextlib.suppress(OSError):  # if memory runs out, the system ends this process rather than the worker
        Path("/proc/self/oom_score_adj").write_text(_FIRST_KILLED, encoding="ascii")
    with contextlib.suppress(EOFError, OSError):
        while True:
            request: Any = connection.recv()
            connection.send(decode_in_time(*request))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
