"""Reads what comes next while the current photo is worked on; bounded in requests and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fruitscale.storage.listing import Photo

T = TypeVar("T")
MOST_BYTES = 64_000_000


def read_ahead(read: Callable[[Photo], T], photos: Sequence[Photo], requests: int) -> Iterator[tuple[Photo, T]]:
    """Yield each photo with what `read` returned, in order, with up to `requests` reads under way.

    At most 64 MB are read ahead, or one photo. An error of `read` is raised where its photo's turn comes.
    """
    waiting: deque[tuple[Photo, Future[T]]] = deque()
    n_bytes, rest = 0, iter(photos)
    upcoming = next(rest, None)
    pool = ThreadPoolExecutor(requests, "read")
    try:
        while waiting or upcoming is not None:
            while upcoming is not None and len(waiting) < 2 * requests and (n_bytes < MOST_BYTES or not waiting):
                waiting.append((upcoming, pool.submit(read, upcoming)))
                n_bytes += upcoming.size
                upcoming = next(rest, None)
            photo, future = waiting.popleft()
            yield photo, future.result()
            n_bytes -= photo.size
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
