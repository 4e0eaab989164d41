"""From which number of photos on one engine is faster than another: where their fitted lines cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.bench.bench_statistics import CONFIDENCE, fit_line

RESAMPLES = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """The timed runs of an engine: the number of photos of each, and its seconds."""

    photos: Sequence[float]
    seconds: Sequence[float]


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 if the interval excludes 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Crossover:
    """How two lines differ, `other` - `one`: their start in seconds, the seconds per photo, and where they cross.

    `photos` is None unless one starts sooner and the other needs less time per photo, both beyond the runs' own spread.
    """

    start: Interval
    per_photo: Interval
    photos: Interval | None


def cross(one: Runs, other: Runs, seed: int = 0) -> Crossover | None:
    """Return how the lines of two engines differ; None without two numbers of photos.

    Runs are resampled within each number of photos, so every resample has all of them.
    """
    found, again = _difference(one, other), _resamples(one, other, seed)
    if found is None:
        return None
    start, per_photo = (_interval(value, again[:, column]) for column, value in enumerate(found))
    if not start.sign or start.sign != -per_photo.sign:
        return Crossover(start, per_photo, None)
    return Crossover(start, per_photo, _interval(-start.value / per_photo.value, -again[:, 0] / again[:, 1]))


def _difference(one: Runs, other: Runs) -> tuple[float, float] | None:
    first, second = fit_line(one.photos, one.seconds), fit_line(other.photos, other.seconds)
    if first is None or second is None:
        return None
    return second.intercept - first.intercept, second.slope - first.slope


def _resamples(one: Runs, other: Runs, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    drawn = (_difference(_resampled(one, rng), _resampled(other, rng)) for _ in range(RESAMPLES))
    return np.array([difference for difference in drawn if difference is not None]).reshape(-1, 2)


def _resampled(runs: Runs, rng: np.random.Generator) -> Runs:
    photos, seconds = np.asarray(runs.photos), np.asarray(runs.seconds)
    groups = [np.flatnonzero(photos == count) for count in np.unique(photos)]
    rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
    return Runs(photos[rows].tolist(), seconds[rows].tolist())


def _interval(value: float, again: Floats) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(edge) for edge in np.quantile(again, (tail, 1 - tail)))
    return Interval(value, low, high)
