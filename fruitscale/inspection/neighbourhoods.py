"""Each photo among its nearest neighbours: how far they are, and which label they vote for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
ROWS = 256
LEAST = 10
"""Photos of a label that make a distribution; those of a smaller one are compared with all photos."""

LEAST_SPREAD = 0.05
"""Of logarithms: where all photos are alike, one that differs by a few percent is no outlier."""


class NearbyRows(NamedTuple):
    """The nearest other rows of each row (n, k), nearest first, and their distances."""

    rows: NDArray[np.intp]
    distances: NDArray[np.float64]


class NeighbourVote(NamedTuple):
    """The label most neighbours have, and their share."""

    label: str
    share: float


def nearest(scores: NDArray[np.float32], k: int) -> NearbyRows:
    """Return the k nearest other rows, exactly; memory grows with the number of rows, not its square."""
    k, n = min(k, len(scores) - 1), len(scores)
    rows, distances = np.empty((n, k), np.intp), np.empty((n, k))
    lengths = (scores * scores).sum(axis=1)
    for start in range(0, n if k else 0, ROWS):
        some = scores[start : start + ROWS]
        squared = lengths - 2 * (some @ scores.T)
        squared[np.arange(len(some)), start + np.arange(len(some))] = np.inf
        near = np.argpartition(squared, k - 1, axis=1)[:, :k]
        exact = np.linalg.norm(scores[near] - some[:, np.newaxis], axis=2)
        order = np.argsort(exact, axis=1, kind="stable")
        rows[start : start + ROWS] = np.take_along_axis(near, order, axis=1)
        distances[start : start + ROWS] = np.take_along_axis(exact, order, axis=1)
    return NearbyRows(rows, distances)


def votes(neighbours: NearbyRows, labels: Sequence[str | None]) -> list[NeighbourVote | None]:
    """Return the vote of each row's neighbours; of labels with equally many, the one of the nearest. None: no labels."""
    found: list[NeighbourVote | None] = []
    for row in neighbours.rows:
        named = [label for i in row if (label := labels[i]) is not None]
        most = max(dict.fromkeys(named), key=named.count, default=None)
        found.append(None if most is None else NeighbourVote(most, named.count(most) / len(row)))
    return found


def robust_scores(values: Floats, labels: Sequence[str | None]) -> NDArray[np.float64]:
    """Return the modified z-score of each value's logarithm among those of its label (Iglewicz and Hoaglin, 1993)."""
    logs = np.log(np.maximum(np.asarray(values, np.float64), 1e-9))
    rows: dict[str | None, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    scores = np.empty(len(logs))
    for of in rows.values():
        group = logs[of] if len(of) >= LEAST else logs
        median = np.median(group)
        spread = np.median(np.abs(group - median))
        scores[of] = 0.6745 * (logs[of] - median) / max(float(spread), LEAST_SPREAD)
    return scores
