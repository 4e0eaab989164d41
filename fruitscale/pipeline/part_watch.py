"""Counts the photos whose features are written while tasks run: a task of several shards reports only at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from fruitscale.errors import FruitscaleError
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage.s3 import S3Store

DISK_SECONDS = 1.0
S3_SECONDS = 5.0
"""Seconds between two listings of the parts: on S3, one request lists 1,000 parts."""


@contextmanager
def watched_parts(folder: RunFolder, photos: Mapping[str, int], report: Callable[[int], None]) -> Iterator[None]:
    """Within the block, report how many photos have features, from the names of parts; `photos` counts those of each part."""
    store = folder.store.brief() if isinstance(folder.store, S3Store) else folder.store
    names, seconds = RunFolder(store).part_names, S3_SECONDS if isinstance(store, S3Store) else DISK_SECONDS
    ended = threading.Event()

    def look() -> None:
        with suppress(FruitscaleError):  # the tasks themselves report it
            report(sum(photos.get(name, 0) for name in names()))

    def watch() -> None:
        while not ended.wait(seconds):
            look()

    thread = threading.Thread(target=watch, name="part-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()  # an interrupted run reports what is kept
