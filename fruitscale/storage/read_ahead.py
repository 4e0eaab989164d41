"""Reads the next objects while the current one is processed, within a limit of requests and of bytes."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar


class HasSize(Protocol):
    """An object to read; `size` is in bytes."""

    @property
    def size(self) -> int:
        """Return how much memory its content takes."""
        ...


S = TypeVar("S", bound=HasSize)
T = TypeVar("T")
MOST_BYTES = 64_000_000


class ReadAhead(Iterator[tuple[S, T]]):
    """Yields each object with the result of `read`, in order, with up to `requests` reads in flight; starts at once.

    Reads at most 64 MB ahead, or one object if it is larger. An error of `read` is raised when its object is due.
    `close`, or the end of the iteration, cancels reads that have not started.
    """

    def __init__(self, read: Callable[[S], T], objects: Iterable[S], requests: int) -> None:
        self._read, self._requests = read, requests
        self._rest = iter(objects)
        self._upcoming = next(self._rest, None)
        self._waiting: deque[tuple[S, Future[T]]] = deque()
        self._ahead_bytes = self._current_bytes = 0
        self._pool = ThreadPoolExecutor(requests, "read")
        self.close = weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        self._fill()

    def __next__(self) -> tuple[S, T]:
        self._ahead_bytes -= self._current_bytes  # the caller is done with the previous object
        if self._is_low():
            self._fill()
        if not self._waiting:
            self.close()
            raise StopIteration
        current, future = self._waiting.popleft()
        self._current_bytes = current.size
        return current, future.result()

    def _fill(self) -> None:
        while self._upcoming is not None and self._has_room():
            self._waiting.append((self._upcoming, self._pool.submit(self._read, self._upcoming)))
            self._ahead_bytes += self._upcoming.size
            self._upcoming = next(self._rest, None)

    def _is_low(self) -> bool:
        """Return whether to request more: many at once, since a burst costs client and store less per request."""
        half_empty = len(self._waiting) <= self._requests and self._ahead_bytes <= MOST_BYTES // 2
        return half_empty or len(self._waiting) <= 1

    def _has_room(self) -> bool:
        return len(self._waiting) < 2 * self._requests and (self._ahead_bytes < MOST_BYTES or not self._waiting)
