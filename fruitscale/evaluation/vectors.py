"""Reads a labelled sample of a run's features, and checks that two runs are comparable."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import InputError, ModelError
from fruitscale.runs.fingerprints import model_differences
from fruitscale.runs.reader import CompleteRun
from fruitscale.runs.run_folder import FEATURES
from fruitscale.storage.spelling import composed

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class LabelledFeatures:
    """A sample of a run's photos: paths, labels and features, float32 (n, F); `of` is the number of photos in the run."""

    paths: list[str]
    labels: list[str]
    features: NDArray[np.float32]
    of: int


def check_same_model(run: CompleteRun, other: CompleteRun) -> None:
    """Raise ModelError if the features of two runs can't be compared."""
    if differing := model_differences(run.plan, other.plan):
        raise ModelError(
            f"The features of {run.uri} and {other.uri} can't be compared: {differing}.",
            "Use the same model for both: fruitscale apply takes it from the first run.",
        )


def read_labelled(run: CompleteRun, most: int) -> LabelledFeatures:
    """Read the features of at most `most` photos, evenly by label. Raises InputError if a photo has no label."""
    paths, blocks = [], []
    labels: list[str | None] = []
    for part in run.parts(FEATURES):
        paths += part.paths
        labels += map(spelled_alike, part.labels)
        blocks.append(part.values)
    if not paths:
        raise InputError(f"{run.uri} has no photos.", "Give a run that has some.")
    named = [label for label in labels if label is not None]
    if len(named) < len(labels) or not named:
        raise InputError(
            f"{run.uri} has photos without a label.", "Run with one folder per label (input.label: parent)."
        )
    chosen = evenly(named, most)
    features = np.concatenate(blocks)[chosen]
    return LabelledFeatures([paths[i] for i in chosen], [named[i] for i in chosen], features, len(paths))


def spelled_alike(label: str | None) -> str | None:
    """Return a label in NFC: two runs may have it in different Unicode forms."""
    return None if label is None else composed(label)


def evenly(labels: Sequence[str], most: int) -> list[int]:
    """Return the rows to sample, in order: at most `most`, equally many per label, spread over the label's rows."""
    if len(labels) <= most:
        return list(range(len(labels)))
    rows: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label].append(row)
    quota = _quota([len(of) for of in rows.values()], most)
    taken = [of[number * len(of) // quota] for of in rows.values() if len(of) > quota for number in range(quota)]
    return sorted([*taken, *(row for of in rows.values() if len(of) <= quota for row in of)])


def _quota(counts: Sequence[int], most: int) -> int:
    """Return the largest per-label quota (at least 1) whose total stays within `most`."""
    fits = bisect_right(range(1, most + 1), most, key=lambda quota: sum(min(count, quota) for count in counts))
    return max(fits, 1)
