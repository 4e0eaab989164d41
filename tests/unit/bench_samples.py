"""Synthetic samples of a benchmark."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fruitscale.bench.bench_environment import BenchEnvironment
from fruitscale.bench.bench_plan import Variant
from fruitscale.bench.measure import STAGES, Kind, Measurement, RunAnswer

LOCAL, SPARK, DASK = (Variant(engine, 2, 1000, "f32") for engine in ("local", "spark", "dask"))
ANSWER = RunAnswer(1000, 0, "ab", 50, 0.95)
HERE = BenchEnvironment("A CPU", 2, 16.0, "Linux", "3.12", "0.1", {"numpy": "2"}, "c0ffee", True, "00")


def sample(variant: Variant = LOCAL, seconds: float = 10.0, **values: Any) -> Measurement:
    kind: Kind = values.pop("kind", "timed")
    number: int = values.pop("round", 1)
    stages = dict.fromkeys(STAGES, seconds / 10) | {"featurize": seconds / 2, "total": seconds}
    defaults: dict[str, Any] = {"outcome": "ok", "seconds": seconds, "stages": stages, "images_per_second": 1000 / seconds,
                              "images_per_second_per_slot": 500 / seconds, "peak_mb": 500.0, "cpu_seconds": 2 * seconds,
                              "answer": ANSWER}  # fmt: skip
    return Measurement(variant, kind, number, **(defaults | values))


class Noise:
    """Simulated seconds: drift shared by neighbouring runs, an independent spread, and an occasional outlier."""

    def __init__(self, seed: int, spread: float = 0.02) -> None:
        self._rng = np.random.default_rng(seed)
        self._spread = spread
        self._drift = 1.0

    def pair(self, slower: float = 1.0) -> tuple[float, float]:
        """Return the seconds of a subject that takes `slower` times as long, and of its baseline."""
        self._drift *= float(np.exp(self._rng.normal(0, 0.01)))
        return self._seconds() * slower, self._seconds()

    def _seconds(self) -> float:
        outlier = self._rng.exponential(0.15) if self._rng.random() < 0.05 else 0.0
        return 10 * self._drift * float(np.exp(self._rng.normal(0, self._spread))) * (1 + outlier)


def failure(variant: Variant = LOCAL, outcome: str = "failed", **values: Any) -> Measurement:
    """Return a run that failed."""
    nothing: dict[str, Any] = {
        "stages": {},
        "images_per_second": None,
        "images_per_second_per_slot": None,
        "answer": None,
    }
    return replace(sample(variant, outcome=outcome, **values), seconds=None, **nothing)
