"""A task for fruitscale's engines that tells which process did it. Their workers import it, so it is a module."""

from __future__ import annotations

import os


def process_of(_task: int, _shared: object) -> int:
    """Return the id of the worker's process."""
    return os.getpid()
