"""What every engine does: one verb, `map`, and one payload that reaches every worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fruitscale.errors import FruitscaleError

T = TypeVar("T")
R = TypeVar("R")


class Shared(Protocol):
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


class Engine(Protocol):
    """Runs picklable functions over tasks. Knows nothing about pictures."""

    def share(self, payload: bytes) -> Shared:
        """Make bytes available to every worker, also to one that joins later or replaces a dead one."""
        ...

    def map(
        self, function: Callable[[T, Shared | None], R], tasks: Sequence[T], shared: Shared | None = None
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
class Outcome:
    """What one task gave: a value, or the error that the function raised on purpose."""

    value: Any = None
    error: FruitscaleError | None = None

    def unwrap(self) -> Any:  # noqa: ANN401
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


def attempt(function: Callable[[T, Shared | None], R], task: T, shared: Shared | None) -> Outcome:
    """Call the function in a worker, on one BLAS thread; an error raised on purpose comes back as a value.

    Engines retry what they see fail. What fruitscale raises has been retried where that helps, so it must not look like
    a failed task to them.
    """
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(1):
            return Outcome(value=function(task, shared))
    except FruitscaleError as error:
        return Outcome(error=error)
