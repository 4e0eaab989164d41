"""What pairs of times say: a ratio with an interval, a noise floor, a verdict, when to stop; and straight lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Verdict: TypeAlias = Literal["faster", "slower", "no difference"]

LEAST_PAIRS = 5
CLOSE_ENOUGH = 0.03
"""Half the width of an interval, as a fraction of its ratio, at which more pairs are not needed."""
CONFIDENCE = 0.95
RESAMPLES = 4000


@dataclass(frozen=True)
class Ratio:
    """The median of subject/baseline over pairs, and its bootstrap interval."""

    median: float
    low: float
    high: float
    pairs: int

    @property
    def half_width(self) -> float:
        """Return half the width of the interval, as a fraction of the median."""
        return (self.high - self.low) / 2 / self.median


@dataclass(frozen=True)
class LineFit:
    """y = intercept + slope · x, with R² and the largest residual as a fraction of the largest y."""

    intercept: float
    slope: float
    r_squared: float
    worst: float

    def at(self, x: float) -> float:
        """Return y at x."""
        return self.intercept + self.slope * x


def ratio_of(pairs: Sequence[tuple[float, float]], seed: int = 0) -> Ratio:
    """Return the median ratio of (subject, baseline) seconds, with its 95 % interval.

    The interval is the percentile bootstrap's (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13):
    pairs are drawn again with replacement, whole, so that what slowed both of a pair down cancels out.
    """
    ratios = np.array([subject / baseline for subject, baseline in pairs])
    rng = np.random.default_rng((seed, len(ratios)))
    medians = np.median(ratios[rng.integers(0, len(ratios), (RESAMPLES, len(ratios)))], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(edge) for edge in np.quantile(medians, (tail, 1 - tail)))
    return Ratio(float(np.median(ratios)), low, high, len(ratios))


def noise_floor(same: Ratio) -> float:
    """Return what a ratio of equals may differ from 1 here: the far edge of the interval of A/A pairs, minus 1."""
    return max(abs(same.low - 1), abs(same.high - 1))


def verdict(ratio: Ratio, floor: float) -> Verdict:
    """Call a subject slower or faster than its baseline only where the interval excludes 1 and the ratio is off the floor.

    Ratios are compared as factors: 1 / (1 + floor) is as far from 1 as 1 + floor.
    """
    if ratio.low > 1 and ratio.median > 1 + floor:
        return "slower"
    if ratio.high < 1 and ratio.median < 1 / (1 + floor):
        return "faster"
    return "no difference"


def is_settled(ratio: Ratio | None, most_pairs: int) -> bool:
    """Tell whether more pairs are not needed: 5 at least, until the interval is narrow, or there are `most_pairs`."""
    if ratio is None:
        return False
    narrow = ratio.pairs >= LEAST_PAIRS and ratio.half_width < CLOSE_ENOUGH
    return narrow or ratio.pairs >= most_pairs


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> LineFit | None:
    """Fit a straight line by least squares; None with fewer than two different x."""
    x, y = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    if len(set(xs)) < 2:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    slope = float((dx * dy).sum() / (dx * dx).sum())
    intercept = float(y.mean() - slope * x.mean())
    residuals = y - intercept - slope * x
    spread = float((dy * dy).sum())
    r_squared = 1 - float((residuals * residuals).sum()) / spread if spread else 1.0
    return LineFit(intercept, slope, r_squared, float(np.abs(residuals).max() / np.abs(y).max()))


def summary(seconds: Sequence[float]) -> dict[str, float | int | str | list[float]]:
    """Return what pytest-benchmark writes of a benchmark's rounds, as it computes it (pytest_benchmark/stats.py)."""
    data = np.sort(np.asarray(seconds, np.float64))
    q1, median, q3 = _quartile(data.tolist()), float(np.median(data)), _quartile(data[::-1].tolist())
    iqr = q3 - q1
    near = data[(data >= q1 - 1.5 * iqr) & (data <= q3 + 1.5 * iqr)]
    mean, deviation = float(data.mean()), float(data.std(ddof=1)) if len(data) > 1 else 0.0
    n_far = int((np.abs(data - mean) > deviation).sum())
    n_outside = len(data) - len(near)
    return {
        "min": float(data[0]), "max": float(data[-1]), "mean": mean, "stddev": deviation, "rounds": len(data),
        "median": median, "iqr": iqr, "q1": q1, "q3": q3, "iqr_outliers": n_outside, "stddev_outliers": n_far,
        "outliers": f"{n_far};{n_outside}", "ld15iqr": float(near[0]), "hd15iqr": float(near[-1]), "ops": 1 / mean,
        "total": float(data.sum()), "data": [float(value) for value in seconds], "iterations": 1,
    }  # fmt: skip


def _quartile(ordered: list[float]) -> float:
    """Return the quartile at the start of ordered values: method 3 of https://en.wikipedia.org/wiki/Quartile, or 2."""
    n, rest = divmod(len(ordered), 4)
    if len(ordered) == 1:
        return ordered[0]
    if rest == 1:
        return 0.25 * ordered[n - 1] + 0.75 * ordered[n]
    if rest == 3:
        return 0.75 * ordered[n] + 0.25 * ordered[n + 1]
    return float(np.median(ordered[: len(ordered) // 2]))
