"""Reads what comes next while the current object is worked on; bounded in requests and in bytes."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar


class HasSize(Protocol):
    """What can be read; `size` is in bytes."""

    @property
    def size(self) -> int:
        """Return how much will be in memory."""
        ...


S = TypeVar("S", bound=HasSize)
T = TypeVar("T")
MOST_BYTES = 64_000_000


class ReadAhead(Iterator[tuple[S, T]]):
    """Yields each object with what `read` returned, in order, with up to `requests` reads under way; it begins at once.

    At most 64 MB are read ahead, or one object. An error of `read` is raised where its object's turn comes. `close`, or
    its end, gives up the reads that have not begun.
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
        self._ahead_bytes -= self._current_bytes  # of the object before: whoever asks for the next one is done with it
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
        """Tell whether to ask for more: for many at once, since a request costs client and store less in a burst."""
        half_empty = len(self._waiting) <= self._requests and self._ahead_bytes <= MOST_BYTES // 2
        return half_empty or len(self._waiting) <= 1

    def _has_room(self) -> bool:
        return len(self._waiting) < 2 * self._requests and (self._ahead_bytes < MOST_BYTES or not self._waiting)
