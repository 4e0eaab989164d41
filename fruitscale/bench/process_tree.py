"""Run a command and measure its time, and the memory and CPU time of its whole process tree."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fruitscale.errors import MissingExtraError

try:
    import psutil
except ModuleNotFoundError:
    raise MissingExtraError("psutil", "bench") from None

SAMPLE_SECONDS = 0.2
"""The sampling interval: short enough to catch a peak, long enough to cost about 1 % of a core."""
GRACE_SECONDS = 10


@dataclass(frozen=True)
class ProcessResult:
    """The exit code, output, time and resources of a command.

    `peak_mb` is the largest sum of its processes' resident memory at one moment, in MB of 10^6 bytes; shared pages
    count once per process.
    """

    code: int
    out: str
    err: str
    seconds: float
    peak_mb: float
    cpu_seconds: float
    timed_out: bool


def run(command: Sequence[str], environment: Mapping[str, str], timeout_seconds: float) -> ProcessResult:
    """Run a command; stop it after the timeout, or when the caller is interrupted."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before, start = _children_cpu(), time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environment), start_new_session=True
        )
        with _killed_at_exit(process), Sampler(process.pid) as sampler:
            timed_out = not _wait(process, timeout_seconds)
            seconds = time.perf_counter() - start
        reaped = _children_cpu() - before
        # Sampling misses the last moments of each process; rusage misses processes that outlived their parents.
        cpu = max(reaped, sampler.cpu_seconds)
        return ProcessResult(process.returncode, _text(out), _text(err), seconds, sampler.peak_mb, cpu, timed_out)


@dataclass
class Sampler:
    """Samples the memory and CPU time of a process and its descendants, in a thread."""

    pid: int
    peak_mb: float = 0.0
    _cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU time of all sampled processes."""
        return sum(self._cpu.values())

    def __enter__(self) -> Sampler:
        self._thread = threading.Thread(target=self._sample, name="sampler", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            self._take_sample()
            self._stop.wait(SAMPLE_SECONDS)

    def _take_sample(self) -> None:
        total = 0.0
        for process in tree(self.pid):
            with contextlib.suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                self._cpu[process.pid, process.create_time()] = times.user + times.system
                total += process.memory_info().rss / 1e6
        self.peak_mb = max(self.peak_mb, total)


def tree(pid: int) -> list[Any]:
    """Return a process and its living descendants; empty if it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def kill(pid: int) -> None:
    """Kill a process and all its descendants."""
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            process.kill()


@contextlib.contextmanager
def _killed_at_exit(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            kill(process.pid)
            process.wait()


def _wait(process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    """Wait for a process and return True if it ended in time; else send SIGTERM and give it GRACE_SECONDS."""
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        return False
    return True


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _text(file: Any) -> str:  # noqa: ANN401  a temporary file
    file.seek(0)
    return str(file.read().decode("utf-8", errors="replace"))
