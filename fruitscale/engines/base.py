"""What every engine does: one verb, `map`, and one payload that reaches every worker."""

from __future__ import annotations

import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fruitscale.errors import EngineError, FruitscaleError

T = TypeVar("T")
R = TypeVar("R")

LARGEST_CHUNK = 8


class SharedValue(Protocol):
    """A picklable handle of bytes that were shared with every worker."""

    def value(self) -> bytes:
        """Return the bytes, in a worker."""
        ...


@dataclass(frozen=True)
class EngineInfo:
    """What ran: `cores` counts the tasks that can run at once, over all workers; `ui` is the engine's own page."""

    name: str
    version: str
    master: str | None
    cores: int
    workers: int
    ui: str | None
    retries: int = 0
    """Tasks that were run again so far, because a worker died or failed."""
    machines: int = 1
    """Machines that have workers."""


class Engine(Protocol):
    """Runs picklable functions over tasks. Knows nothing about pictures."""

    def share(self, payload: bytes) -> SharedValue:
        """Make bytes available to every worker, also to one that joins later or replaces a dead one."""
        ...

    def map(
        self, function: Callable[[T, SharedValue | None], R], tasks: Sequence[T], shared: SharedValue | None = None
    ) -> Iterator[R]:
        """Yield `function(task, shared)` of every task as they complete, in any order.

        A FruitscaleError raised by the function ends the map and is raised here as it was; any other failure, once the
        engine's own retries are used up, is raised as an EngineError.
        """
        ...

    def describe(self) -> EngineInfo:
        """Tell what runs the tasks."""
        ...

    def close(self) -> None:
        """End everything that was started. May be called twice, and after a failure."""
        ...


@dataclass(frozen=True)
class TaskOutcome:
    """What one task gave: a value, or the error that the function raised on purpose."""

    value: Any = None
    error: FruitscaleError | None = None

    def unwrap(self) -> Any:  # noqa: ANN401
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


def attempt(function: Callable[[T, SharedValue | None], R], task: T, shared: SharedValue | None) -> TaskOutcome:
    """Call the function in a worker, on one BLAS thread; an error raised on purpose comes back as a value.

    Engines retry what they see fail. What fruitscale raises has been retried where that helps, so it must not look like
    a failed task to them.
    """
    limit_threads()
    try:
        return TaskOutcome(value=function(task, shared))
    except FruitscaleError as error:
        return TaskOutcome(error=error)


def attempt_all(
    function: Callable[[T, SharedValue | None], R], chunk: Sequence[T], shared: SharedValue | None
) -> bytes:
    """Attempt each task of a chunk in turn, up to one that raises on purpose: that ends the map.

    Returns the pickled outcomes. Pickled here, so that a result that can't be is a task that fails, on every engine.
    """
    outcomes: list[TaskOutcome] = []
    for task in chunk:
        outcomes.append(attempt(function, task, shared))
        if outcomes[-1].error is not None:
            break
    return pickle.dumps(outcomes, protocol=pickle.HIGHEST_PROTOCOL)


def outcomes_of(reply: bytes) -> list[TaskOutcome]:
    """Return the outcomes that `attempt_all` pickled, in our own worker."""
    outcomes: list[TaskOutcome] = pickle.loads(reply)  # noqa: S301
    return outcomes


def cut(tasks: Sequence[T], cores: int, share: int = 8) -> list[list[T]]:
    """Cut tasks into chunks that shrink towards the end, so that the cores finish together (guided self-scheduling).

    Each chunk is one part in `share` of what a core has left to do, and at most LARGEST_CHUNK tasks.
    """
    chunks: list[list[T]] = []
    start = 0
    while start < len(tasks):
        size = min(max((len(tasks) - start) // (share * cores), 1), LARGEST_CHUNK)
        chunks.append(list(tasks[start : start + size]))
        start += size
    return chunks


def limit_threads() -> None:
    """Hold BLAS and OpenMP to one thread in this process, for good; a worker process does nothing but tasks."""
    global _limited_at  # noqa: PLW0603  one process, one limit
    if len(sys.modules) == _limited_at:
        return
    # Looking through the loaded libraries takes milliseconds, and only an import can bring new ones.
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    _limited_at = len(sys.modules)


_limited_at = 0


def last_line(error: BaseException) -> str:
    """Return the last line of the error's traceback, as in `ValueError: boom`."""
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def task_failed(what: str, log_path: Path | None = None) -> EngineError:
    """Return the error for a task that failed in a way nobody planned; `what` is its traceback's last line."""
    hint = "Run it again: finished parts are kept."
    if log_path is not None:
        hint += f" The engine's log is {log_path}"
    return EngineError(f"A task failed: {what}", hint)


def probe(host: str, port: int, seconds: float, what: str) -> None:
    """Connect to host:port, trying again for so many seconds. Raises EngineError that names it, and what it should be."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=max(0.5, min(3.0, deadline - time.monotonic()))).close()
        except OSError as error:
            if time.monotonic() + 0.5 > deadline:
                raise EngineError(
                    f"{what} does not answer at {host}:{port}: {error.strerror or error}.",
                    "Check the address, that it is running, and that this machine may reach that port.",
                ) from None
            time.sleep(0.5)
        else:
            return
