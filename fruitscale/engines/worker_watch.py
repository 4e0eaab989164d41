"""Ends a map that has no worker left: engines would wait for ever, in case one comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

MOST_BETWEEN_SECONDS = 5.0


class WorkerWatch:
    """From `start` to `stop`, calls `give_up` once there has been no worker for `seconds`, or none can come any more."""

    def __init__(
        self,
        count: Callable[[], int],
        seconds: float,
        give_up: Callable[[], None],
        is_hopeless: Callable[[], bool] = lambda: False,
    ) -> None:
        self._count, self._seconds, self._give_up, self._is_hopeless = count, seconds, give_up, is_hopeless
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)
        self.gave_up = False

    def start(self) -> None:
        """Start to look, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def _watch(self) -> None:
        seen = time.monotonic()
        while not self._over.wait(min(MOST_BETWEEN_SECONDS, self._seconds / 4)):
            workers = 1  # an engine that does not answer reports that itself
            with suppress(Exception):
                workers = self._count()
            now = time.monotonic()
            if workers:
                seen = now
            elif now - seen >= self._seconds or self._is_hopeless():
                self.gave_up = True
                self._give_up()
                return
