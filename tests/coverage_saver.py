"""A plugin of coverage.py: saves what a process has covered every half second.

Workers end by SIGKILL, on purpose and in normal operation too, and coverage.py writes its data only when a process exits.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time

from coverage import Coverage, CoverageException
from coverage.plugin_support import Plugins

SECONDS = 0.5


def coverage_init(registry: Plugins, options: dict[str, str]) -> None:
    """Start the saving thread; coverage.py calls this in every process it measures, after a fork too."""
    threading.Thread(target=_save_regularly, name="coverage").start()


def _save_regularly() -> None:
    """Save until the main thread ends; Python waits for this thread before coverage.py saves at exit."""
    while threading.main_thread().is_alive():
        time.sleep(SECONDS)
        measuring = Coverage.current()
        if measuring is not None:
            with contextlib.suppress(CoverageException, sqlite3.Error):  # the process is ending, and saves by itself
                measuring.save()
