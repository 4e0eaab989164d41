"""A task that returns its process id, in a module of its own because workers import it."""

from __future__ import annotations

import os


def process_id(_task: int, _shared: object) -> int:
    """Return the id of the worker's process."""
    return os.getpid()
