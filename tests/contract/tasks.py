"""What the contract tests run in workers; a module, because workers import what they run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from fruitscale.engines.base import SharedValue, is_retry
from fruitscale.errors import InputError


def echo(task: int, shared: SharedValue | None) -> int:
    return task


def wait(seconds: float, shared: SharedValue | None) -> float:
    time.sleep(seconds)
    return seconds


def wait_for(path: str, shared: SharedValue | None) -> str:
    """Wait until a file exists; without a path, return at once."""
    deadline = time.monotonic() + 30
    while path and not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} was never written")
        time.sleep(0.05)
    return path


def large(task: int, shared: SharedValue | None) -> NDArray[np.float64]:
    return np.full(812_500, task, dtype=np.float64)  # 6.5 MB


def refuse(task: int, shared: SharedValue | None) -> int:
    if task == 3:
        raise InputError(f"photo {task} is no photo", "take another")
    return task


def fail(task: int, shared: SharedValue | None) -> int:
    raise ValueError(f"nobody expected {task}")


def unpicklable(task: int, shared: SharedValue | None) -> object:
    return threading.Lock()


def see(seconds: float, shared: SharedValue | None) -> tuple[int, int, int]:
    """Return the process, the identity of the payload in it, and its length."""
    assert shared is not None
    first, again = shared.value(), shared.value()
    assert first is again
    time.sleep(seconds)
    return os.getpid(), id(first), len(first)


def die_once(task: tuple[int, str, int], shared: SharedValue | None) -> tuple[int, int]:
    """Kill this process, or the ancestor that many steps up, in the first attempt only."""
    index, marker, ancestor = task
    if index == 2 and claim(Path(marker)):
        os.kill([os.getpid(), *(parent.pid for parent in psutil.Process().parents())][ancestor], signal.SIGKILL)
        time.sleep(60)
    time.sleep(0.05)
    return index, len(shared.value()) if shared else 0


def die(task: int, shared: SharedValue | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def touch(task: tuple[str, float], shared: SharedValue | None) -> None:
    """Leave a file, after a while."""
    path, seconds = task
    time.sleep(seconds)
    Path(path).touch()


def threads(task: int, shared: SharedValue | None) -> int:
    from threadpoolctl import threadpool_info

    return max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)


def has_imported(module: str, shared: SharedValue | None) -> bool:
    return module in sys.modules


def claim(path: Path) -> bool:
    """Create a file; False when it was there."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def die_unless_retried(task: int, shared: SharedValue | None) -> tuple[int, bool]:
    """Kill the worker at the first attempt of task 1; return whether this attempt is a retry."""
    if task == 1 and not is_retry():
        os.kill(os.getpid(), signal.SIGKILL)
    return task, is_retry()
