"""The verdict: how often it is right, by resampling; and the statistics behind it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fruitscale.bench import bench_statistics
from fruitscale.bench.bench_statistics import Ratio, fit_line, is_settled, noise_floor, ratio_of, verdict
from tests.unit.bench_samples import Noise

TRIALS = 60
Pairs = Sequence[tuple[float, float]]


def until_settled(pairs: Pairs) -> Ratio:
    """Return the ratio at which the stopping rule ends."""
    for n in range(1, len(pairs) + 1):
        ratio = ratio_of(pairs[:n], seed=n)
        if is_settled(ratio, max_pairs=20):
            return ratio
    raise AssertionError("the stopping rule never ended")


def fraction_called_different(slower: float, spread: float) -> float:
    """Return the fraction of resampled benchmarks that call two variants different, each with pairs drawn from 40."""
    noise, rng = Noise(7, spread), np.random.default_rng(11)
    pool = [noise.pair() for _ in range(40)]
    different = 0
    for _ in range(TRIALS):
        drawn = [pool[i] for i in rng.integers(0, len(pool), 40)]
        floor_pairs, pairs = drawn[:20], [(a * slower, b) for a, b in drawn[20:]]
        different += verdict(until_settled(pairs), noise_floor(until_settled(floor_pairs))) != "no difference"
    return different / TRIALS


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_statistics, "RESAMPLES", 500)


@pytest.mark.parametrize("spread", [0.01, 0.02, 0.03])
def test_equal_variants_are_called_equal(spread: float) -> None:
    assert fraction_called_different(1.0, spread) <= 0.10


@pytest.mark.parametrize("spread", [0.01, 0.02, 0.03])
def test_a_slowdown_of_10_percent_is_found(spread: float) -> None:
    assert fraction_called_different(1.1, spread) >= 0.95


def test_a_ratio_is_the_median_with_its_interval_around() -> None:
    ratio = ratio_of([(2.0, 1.0), (2.2, 1.1), (2.1, 1.0), (1.9, 1.0), (2.0, 1.0)])
    assert ratio.median == pytest.approx(2.0)
    assert 1.9 <= ratio.low <= 2.0 <= ratio.high <= 2.1
    assert ratio.pairs == 5
    assert ratio == ratio_of([(2.0, 1.0), (2.2, 1.1), (2.1, 1.0), (1.9, 1.0), (2.0, 1.0)])


def test_drift_shared_by_a_pair_cancels_out() -> None:
    pairs = [(10.5 * drift, 10.0 * drift) for drift in np.linspace(1, 3, 9)]
    ratio = ratio_of(pairs)
    assert (ratio.low, ratio.high) == pytest.approx((1.05, 1.05))


@pytest.mark.parametrize(
    ("low", "median", "high", "floor", "expected"),
    [
        pytest.param(1.05, 1.1, 1.15, 0.03, "slower", id="slower"),
        pytest.param(0.85, 0.9, 0.95, 0.03, "faster", id="faster"),
        pytest.param(0.99, 1.1, 1.2, 0.03, "no difference", id="the-interval-has-1"),
        pytest.param(1.01, 1.02, 1.03, 0.03, "no difference", id="within-the-floor"),
        pytest.param(0.96, 0.975, 0.98, 0.03, "no difference", id="within-the-floor-below"),
        pytest.param(1.01, 1.02, 1.03, 0.0, "slower", id="no-noise-at-all"),
    ],
)
def test_verdicts(low: float, median: float, high: float, floor: float, expected: str) -> None:
    assert verdict(Ratio(median, low, high, 9), floor) == expected


def test_the_noise_floor_is_the_outer_end_of_the_interval() -> None:
    assert noise_floor(Ratio(1.0, 0.97, 1.02, 9)) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("ratio", "max_pairs", "settled"),
    [
        pytest.param(None, 20, False, id="no-pair-yet"),
        pytest.param(Ratio(1, 0.99, 1.01, 4), 20, False, id="narrow-but-few"),
        pytest.param(Ratio(1, 0.99, 1.01, 5), 20, True, id="narrow"),
        pytest.param(Ratio(1, 0.96, 1.04, 5), 20, False, id="wide"),
        pytest.param(Ratio(2, 1.95, 2.05, 5), 20, True, id="narrow-for-its-size"),
        pytest.param(Ratio(1, 0.9, 1.1, 20), 20, True, id="wide-at-the-maximum"),
        pytest.param(Ratio(1, 0.9, 1.1, 2), 2, True, id="the-maximum"),
    ],
)
def test_when_to_stop(ratio: Ratio | None, max_pairs: int, settled: bool) -> None:
    assert is_settled(ratio, max_pairs) is settled


def test_a_line_is_found() -> None:
    line = fit_line([1000, 5000, 20000], [3 + 0.004 * n for n in (1000, 5000, 20000)])
    assert line is not None
    assert (line.intercept, line.slope, line.r_squared) == pytest.approx((3, 0.004, 1))
    assert line.worst == pytest.approx(0, abs=1e-12)
    assert line.at(1_000_000) == pytest.approx(4003)
    assert fit_line([5, 5], [1, 2]) is None
    flat = fit_line([1, 2, 3], [7, 7, 7])
    assert flat is not None
    assert (flat.slope, flat.r_squared) == (0, 1)
