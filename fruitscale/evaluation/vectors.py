"""The features of a run beside those of another: comparable, labelled, and not more than memory and time allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import InputError, ModelError
from fruitscale.runs.fingerprints import model_differences
from fruitscale.runs.reader import CompleteRun
from fruitscale.runs.run_folder import FEATURES

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class LabelledFeatures:
    """Photos of a run: their paths, labels and features, float32 (n, F); `of` is how many the run has."""

    paths: list[str]
    labels: list[str]
    features: NDArray[np.float32]
    of: int


def check_same_model(run: CompleteRun, other: CompleteRun) -> None:
    """Raise ModelError when the features of two runs can't be compared."""
    if differing := model_differences(run.plan, other.plan):
        raise ModelError(
            f"The features of {run.uri} and {other.uri} can't be compared: {differing}.",
            "Make both with the same model: fruitscale apply takes it from the first.",
        )


def read_labelled(run: CompleteRun, most: int) -> LabelledFeatures:
    """Read a run's features, at most so many photos, evenly by label. Raises InputError when one has no label."""
    paths, labels, blocks = [], [], []
    for part in run.parts(FEATURES):
        paths += part.paths
        labels += part.labels
        blocks.append(part.values)
    named = [label for label in labels if label is not None]
    if len(named) < len(labels) or not named:
        raise InputError(f"{run.uri} has photos without a label.", "Run with one folder a label (input.label: parent).")
    chosen = evenly(named, most)
    features = np.concatenate(blocks)[chosen]
    return LabelledFeatures([paths[i] for i in chosen], [named[i] for i in chosen], features, len(paths))


def evenly(labels: Sequence[str], most: int) -> list[int]:
    """Return the rows to take, in order: all where there are no more than `most`, else as many of each label as can be.

    Of a label they are spread over its rows.
    """
    if len(labels) <= most:
        return list(range(len(labels)))
    rows: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label].append(row)
    quota = _quota([len(of) for of in rows.values()], most)
    taken = [of[number * len(of) // quota] for of in rows.values() if len(of) > quota for number in range(quota)]
    return sorted([*taken, *(row for of in rows.values() if len(of) <= quota for row in of)])


def _quota(counts: Sequence[int], most: int) -> int:
    """Return the largest number a label, at least one, with which no more than `most` are taken in all."""
    quota = 1
    while sum(min(count, quota + 1) for count in counts) <= most:
        quota += 1
    return quota
