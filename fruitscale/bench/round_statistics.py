"""The statistics that `pytest-benchmark compare` reads, computed by pytest-benchmark itself.

`pytest_benchmark.stats.Stats` is importable but not part of the documented API. We use it because `compare` reads
exactly its fields, so a copy would have to follow every change of its quartiles and outliers. This module is the only
user; tests/unit/test_bench_results.py fails when an upgrade changes the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fruitscale.errors import MissingExtraError


def check_installed() -> None:
    """Raise MissingExtraError if pytest-benchmark is not installed, before hours of runs rather than after."""
    _stats()


def summarize(seconds: Sequence[float]) -> dict[str, Any]:
    """Return the `stats` entry of pytest-benchmark's JSON for the seconds of a benchmark's rounds, at least one."""
    stats = _stats()
    for value in seconds:
        stats.update(value)
    return {**stats.as_dict(), "data": list(seconds), "iterations": 1}


def _stats() -> Any:  # noqa: ANN401  untyped
    try:
        from pytest_benchmark.stats import Stats
    except ModuleNotFoundError:
        raise MissingExtraError("pytest-benchmark", "bench") from None
    return Stats()
