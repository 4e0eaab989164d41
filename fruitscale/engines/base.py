"""The engine protocol: one verb, `map`, and one payload shared with every worker."""

from __future__ import annotations

import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fruitscale.errors import EngineError, FruitscaleError

T = TypeVar("T")
R = TypeVar("R")

LARGEST_CHUNK = 8
GROWING_CORES = 64
"""Tasks are cut for at least this many cores on a cluster of unknown final size: more tasks cost less than idle cores."""
_retry: ContextVar[bool] = ContextVar("retry", default=False)


class SharedValue(Protocol):
    """A picklable handle of bytes shared with every worker."""

    def value(self) -> bytes:
        """Return the bytes, in a worker."""
        ...


@dataclass(frozen=True)
class EngineInfo:
    """The engine: `cores` counts concurrent tasks over all workers; `ui` is the address of its dashboard."""

    name: str
    version: str
    master: str | None
    cores: int
    workers: int
    ui: str | None
    retries: int = 0
    """Tasks retried so far, because a worker died or failed."""
    machines: int = 1
    """Machines with workers."""
    expected_cores: int = 0
    """The cores once every worker that may join has joined; 0 if no more are expected."""

    @property
    def cut_cores(self) -> int:
        """The cores that tasks are cut for."""
        return max(self.cores, self.expected_cores)


class Engine(Protocol):
    """Runs picklable functions over tasks; knows nothing about images."""

    def share(self, payload: bytes) -> SharedValue:
        """Make bytes available to every worker, including those that join later or replace a dead one."""
        ...

    def map(
        self, function: Callable[[T, SharedValue | None], R], tasks: Sequence[T], shared: SharedValue | None = None
    ) -> Iterator[R]:
        """Yield `function(task, shared)` of every task as tasks complete, in any order.

        A FruitscaleError raised by the function ends the map and is raised here. Any other failure is raised as an
        EngineError once the engine's own retries are exhausted.
        """
        ...

    def describe(self) -> EngineInfo:
        """Return what runs the tasks."""
        ...

    def close(self) -> None:
        """End everything that was started. May be called twice, and after a failure."""
        ...


@dataclass(frozen=True)
class TaskOutcome:
    """The outcome of one task: a value, or the FruitscaleError that the function raised."""

    value: Any = None
    error: FruitscaleError | None = None

    def unwrap(self) -> Any:  # noqa: ANN401
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


def is_retry() -> bool:
    """Return, in a task's function, whether an earlier attempt at this task failed or killed its worker."""
    return _retry.get()


def attempt(
    function: Callable[[T, SharedValue | None], R], task: T, shared: SharedValue | None, *, retry: bool = False
) -> TaskOutcome:
    """Call the function in a worker, on one BLAS thread; return a FruitscaleError as a value.

    A FruitscaleError is final (we have already retried), so it travels back as a value: the engine must not retry the task.
    `retry` is what `is_retry` returns meanwhile.
    """
    limit_threads()
    before = _retry.set(retry)
    try:
        return TaskOutcome(value=function(task, shared))
    except FruitscaleError as error:
        return TaskOutcome(error=error)
    finally:
        _retry.reset(before)


def attempt_all(
    function: Callable[[T, SharedValue | None], R],
    chunk: Sequence[T],
    shared: SharedValue | None,
    *,
    retry: bool = False,
) -> bytes:
    """Attempt each task of a chunk, up to the first FruitscaleError, which ends the map.

    Returns the pickled outcomes: pickled here, so that an unpicklable result fails its task on every engine.
    """
    outcomes: list[TaskOutcome] = []
    for task in chunk:
        outcomes.append(attempt(function, task, shared, retry=retry))
        if outcomes[-1].error is not None:
            break
    return pickle.dumps(outcomes, protocol=pickle.HIGHEST_PROTOCOL)


def outcomes_of(reply: bytes) -> list[TaskOutcome]:
    """Return the outcomes that `attempt_all` pickled in our own worker."""
    outcomes: list[TaskOutcome] = pickle.loads(reply)  # noqa: S301
    return outcomes


def cut(tasks: Sequence[T], cores: int, share: int = 8) -> list[list[T]]:
    """Return tasks in chunks that shrink towards the end, so that cores finish together (guided self-scheduling).

    Each chunk is a `share`-th of the tasks left per core, and at most LARGEST_CHUNK tasks.
    """
    chunks: list[list[T]] = []
    start = 0
    while start < len(tasks):
        size = min(max((len(tasks) - start) // (share * cores), 1), LARGEST_CHUNK)
        chunks.append(list(tasks[start : start + size]))
        start += size
    return chunks


def limit_threads() -> None:
    """Limit BLAS and OpenMP to one thread in this worker process, permanently."""
    global _limited_at  # noqa: PLW0603  one process, one limit
    if len(sys.modules) == _limited_at:
        return
    # Checking the loaded libraries takes milliseconds, and only an import can load more.
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    _limited_at = len(sys.modules)


_limited_at = 0


def last_line(error: BaseException) -> str:
    """Return the last line of the error's traceback, as in `ValueError: boom`."""
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def task_failed(what: str, log_path: Path | None = None) -> EngineError:
    """Return the error for a task that failed unexpectedly; `what` is the last line of its traceback."""
    hint = "Run the same command again: finished parts are kept."
    if log_path is not None:
        hint += f" The engine's log is {log_path}"
    return EngineError(f"A task failed: {what}", hint)


def no_workers(engine: str, seconds: float, hint: str) -> EngineError:
    """Return the error for an engine that has had no worker for so long."""
    more = " Finished parts are kept. If workers need longer to start, raise worker_timeout_seconds."
    return EngineError(f"{engine} has had no worker for {seconds:g} s.", hint + more)


def probe(host: str, port: int, seconds: float, what: str) -> None:
    """Connect to host:port, retrying for `seconds`. Raises EngineError, which names it and `what` it should be."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=max(0.5, min(3.0, deadline - time.monotonic()))).close()
        except OSError as error:
            if time.monotonic() + 0.5 > deadline:
                raise EngineError(
                    f"{what} does not answer at {host}:{port}: {error.strerror or error}.",
                    "Check the address, that it is running, and that this machine can reach that port.",
                ) from None
            time.sleep(0.5)
        else:
            return
