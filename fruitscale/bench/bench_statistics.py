"""The statistics of a benchmark: ratios of paired times, the noise floor, verdicts, the stopping rule, line fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Verdict: TypeAlias = Literal["faster", "slower", "no difference"]

MIN_PAIRS = 5
TARGET_HALF_WIDTH = 0.03
"""Stop when half the width of the interval is below this fraction of the ratio."""
CONFIDENCE = 0.95
RESAMPLES = 4000


@dataclass(frozen=True)
class Ratio:
    """The median of subject/baseline over pairs, and its 95 % bootstrap interval."""

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

    The interval is a percentile bootstrap (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13). Whole
    pairs are resampled with replacement, so whatever slowed down both runs of a pair cancels out.
    """
    ratios = np.array([subject / baseline for subject, baseline in pairs])
    rng = np.random.default_rng((seed, len(ratios)))
    medians = np.median(ratios[rng.integers(0, len(ratios), (RESAMPLES, len(ratios)))], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(edge) for edge in np.quantile(medians, (tail, 1 - tail)))
    return Ratio(float(np.median(ratios)), low, high, len(ratios))


def noise_floor(self_ratio: Ratio) -> float:
    """Return how far two identical runs differ: the outer end of the interval of A/A pairs, as a distance from 1."""
    return max(abs(self_ratio.low - 1), abs(self_ratio.high - 1))


def verdict(ratio: Ratio, floor: float) -> Verdict:
    """Return the verdict: a difference only if the interval excludes 1 and the median is outside the noise floor.

    Ratios are compared as factors: 1 / (1 + floor) is as far from 1 as 1 + floor.
    """
    if ratio.low > 1 and ratio.median > 1 + floor:
        return "slower"
    if ratio.high < 1 and ratio.median < 1 / (1 + floor):
        return "faster"
    return "no difference"


def is_settled(ratio: Ratio | None, max_pairs: int) -> bool:
    """Return True when no more pairs are needed: the interval is narrow (5 pairs or more), or there are `max_pairs`."""
    if ratio is None:
        return False
    narrow = ratio.pairs >= MIN_PAIRS and ratio.half_width < TARGET_HALF_WIDTH
    return narrow or ratio.pairs >= max_pairs


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> LineFit | None:
    """Fit a straight line by least squares; return None with fewer than two different x."""
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
