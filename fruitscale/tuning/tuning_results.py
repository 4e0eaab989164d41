"""The result of tuning: a row per candidate, the Pareto front, the recommendation. Names are public: add, never rename."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from fruitscale.config.schema import Config
from fruitscale.tuning.candidates import Candidate
from fruitscale.tuning.judging import Judged

Measure: TypeAlias = Literal["accuracy", "agreement"]
Verdict: TypeAlias = Literal["reference", "equal", "better", "worse"]
MILLION = 1_000_000
MS_PER_HOUR = 3_600_000
LEAST_AGREEMENT = 0.85
"""Without labels and series, a recommended candidate shares at least this part of the reference's neighbours."""


@dataclass(frozen=True)
class Row:
    """One candidate. Quality is between 0 and 1, differences are from the reference, with 95 % intervals over photos."""

    candidate: Candidate
    ms_per_photo: float
    images_per_second_per_core: float
    worker_mb: float
    features: int
    components: int
    quality: float
    components_quality: float
    difference: tuple[float, float, float]
    """Mean, and the ends of the interval, by all features."""
    components_difference: tuple[float, float, float]
    verdict: Verdict
    is_good_enough: bool
    is_on_front: bool
    cost_per_million: float | None


@dataclass(frozen=True)
class Tuning:
    """What was measured; `rows` by time, `dropped` after the first round. `speedup` is that of the recommended candidate."""

    measure: Measure
    how: str
    """Which neighbours count."""
    photos: int
    compared: int
    tolerance: float
    reference: Row
    recommended: Row
    speedup: float
    rows: tuple[Row, ...]
    dropped: tuple[Row, ...]
    left_out: tuple[str, ...]
    """What was not tried or did not work, and why."""
    cpu: str
    cpu_features: tuple[str, ...]
    slots: int
    seconds: float
    date: str

    def to_json(self) -> dict[str, Any]:
        """Return the content of tune.json."""
        return asdict(self)


def rows_of(judged: Sequence[Judged], measure: Measure, tolerance: float, price: float | None) -> list[Row]:
    """Return the rows of judged candidates, the reference's first; `price` is that of a core and hour."""
    return [_row(one, judged, measure, tolerance, price) for one in judged]


def _row(one: Judged, all_of: Sequence[Judged], measure: Measure, tolerance: float, price: float | None) -> Row:
    trial, gap = one.trial, one.difference
    enough = one.is_good_enough(tolerance) if measure == "accuracy" else one.features >= LEAST_AGREEMENT
    return Row(
        trial.candidate,
        trial.ms_per_photo,
        1000 / trial.ms_per_photo,
        trial.worker_mb,
        trial.features.shape[1],
        trial.components.shape[1],
        one.features,
        one.components,
        (gap.mean, gap.low, gap.high),
        (one.components_difference.mean, one.components_difference.low, one.components_difference.high),
        "reference" if one is all_of[0] else "equal" if gap.is_equal else "better" if gap.mean > 0 else "worse",
        enough,
        is_on_front(one, all_of),
        None if price is None else price * trial.ms_per_photo * MILLION / MS_PER_HOUR,
    )


def is_on_front(one: Judged, all_of: Sequence[Judged]) -> bool:
    """Whether no other candidate is as fast and better, or faster and as good."""
    return not any(
        (other.trial.ms_per_photo <= one.trial.ms_per_photo and other.features > one.features)
        or (other.trial.ms_per_photo < one.trial.ms_per_photo and other.features >= one.features)
        for other in all_of
    )


def recommended(rows: Sequence[Row]) -> Row:
    """Return the cheapest row that is good enough; the reference always is."""
    return min((row for row in rows if row.is_good_enough), key=lambda row: row.ms_per_photo)


def price_of(config: Config) -> float | None:
    """Return the price of a core and hour in a config."""
    return config.bench.price_per_core_hour
