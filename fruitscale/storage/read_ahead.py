"""Reads what comes next while the current object is worked on; bounded in requests and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar


class Sized(Protocol):
    """What can be read; `size` is in bytes."""

    @property
    def size(self) -> int:
        """Return how much will be in memory."""
        ...


S = TypeVar("S", bound=Sized)
T = TypeVar("T")
MOST_BYTES = 64_000_000


def read_ahead(read: Callable[[S], T], objects: Sequence[S], requests: int) -> Iterator[tuple[S, T]]:
    """Yield each object with what `read` returned, in order, with up to `requests` reads under way.

    At most 64 MB are read ahead, or one object. An error of `read` is raised where its object's turn comes.
    """
    waiting: deque[tuple[S, Future[T]]] = deque()
    n_bytes, rest = 0, iter(objects)
    upcoming = next(rest, None)
    pool = ThreadPoolExecutor(requests, "read")
    try:
        while waiting or upcoming is not None:
            while upcoming is not None and len(waiting) < 2 * requests and (n_bytes < MOST_BYTES or not waiting):
                waiting.append((upcoming, pool.submit(read, upcoming)))
                n_bytes += upcoming.size
                upcoming = next(rest, None)
            current, future = waiting.popleft()
            yield current, future.result()
            n_bytes -= current.size
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
