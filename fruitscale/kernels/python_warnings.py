"""Silences Python's warnings around a decoder, also if several threads decode."""

from __future__ import annotations

import threading
import warnings


class _WarningFilter:
    """Ignores warnings while any thread is inside.

    warnings.catch_warnings alone restores the wrong filters if threads overlap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


no_warnings = _WarningFilter()
