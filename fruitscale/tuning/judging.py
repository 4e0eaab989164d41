"""Judges trials of the same photos: how good each candidate's features are, compared with the reference's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import InputError
from fruitscale.tuning import quality
from fruitscale.tuning.quality import Difference
from fruitscale.tuning.trials import CandidateTrial

MARGIN = 0.03
"""What few photos may show wrongly: many candidates are compared, and neighbours are farther away among few photos."""
Values = NDArray[np.float32]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A trial with its quality (0 to 1), by all features and by the components, and the differences from the reference."""

    trial: CandidateTrial
    features: float
    components: float
    difference: Difference
    components_difference: Difference

    def is_good_enough(self, tolerance: float) -> bool:
        """Whether neither all features nor the components are worse than the reference's by more than `tolerance`."""
        return min(self.difference.mean, self.components_difference.mean) >= -tolerance

    def is_hopeless(self, tolerance: float) -> bool:
        """Whether all features are clearly worse by more than `tolerance`, even at the better end of the interval."""
        return self.difference.high < -tolerance - MARGIN


def judge(trials: Sequence[CandidateTrial], series: Mapping[tuple[int, str], str], seed: int) -> list[Judged]:
    """Judge trials; the first one's candidate is the reference.

    With `series`, quality is the accuracy of the nearest neighbour in another series; without, it is the agreement with the
    reference's neighbours. Raises InputError if the photos can't be compared.
    """
    common = sorted(set.intersection(*(set(trial.keys) for trial in trials)))
    if len(common) < 2:
        raise InputError("Too few of the photos can be read to compare candidates.", "Give more photos.")
    spaces = [[values[_rows(trial, common)] for values in (trial.features, trial.components)] for trial in trials]
    score = _by_accuracy(trials[0], common, series) if series else _by_agreement
    scored = [[score(values, first) for values, first in zip(space, spaces[0], strict=True)] for space in spaces]
    if not len(scored[0][0]):
        raise InputError(
            "No label has photos in two series, so nothing can be compared.", "Give --test, or other photos."
        )
    return [
        Judged(
            trial,
            float(full.mean()),
            float(reduced.mean()),
            quality.difference(full, scored[0][0], seed),
            quality.difference(reduced, scored[0][1], seed),
        )
        for trial, (full, reduced) in zip(trials, scored, strict=True)
    ]


def _rows(trial: CandidateTrial, keys: Sequence[tuple[int, str]]) -> list[int]:
    at = {key: row for row, key in enumerate(trial.keys)}
    return [at[key] for key in keys]


def _by_accuracy(
    trial: CandidateTrial, keys: Sequence[tuple[int, str]], series: Mapping[tuple[int, str], str]
) -> Callable[[Values, Values], Scores]:
    """Return the function from vectors to 1.0 for each photo that is recognised; with test photos, only those are asked."""
    labels = [str(trial.labels[row]) for row in _rows(trial, keys)]
    inputs = np.array([number for number, _ in keys])
    asked = inputs == inputs.max()
    return lambda values, _: quality.accuracy(values, labels, [series[key] for key in keys], asked)


def _by_agreement(values: Values, reference: Values) -> Scores:
    return quality.agreement(quality.neighbours(values), quality.neighbours(reference))
