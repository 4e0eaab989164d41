"""How good features are: 1-nearest-neighbour accuracy between series, or agreement with the reference's neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
RESAMPLES = 2000
CONFIDENCE = 0.95
BLOCK = 512
"""Rows of the distance matrix at a time."""


@dataclass(frozen=True)
class Difference:
    """The mean difference of two candidates over the same photos, and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_equal(self) -> bool:
        """Whether the interval includes 0."""
        return self.low <= 0 <= self.high


def accuracy(values: NDArray[np.float32], labels: Sequence[str], series: Sequence[str],
             asked: NDArray[np.bool_]) -> NDArray[np.float64]:  # fmt: skip
    """Return 1.0 for each asked photo whose nearest neighbour in another series has its label, else 0.0.

    `values` are (n, d), distances Euclidean. Photos whose label is in no other series are left out.
    """
    label = np.unique(np.array(labels, str), return_inverse=True)[1]
    group = np.unique(np.array(series, str), return_inverse=True)[1]
    rows = np.flatnonzero(asked & _is_elsewhere(label, group))
    right = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        distances = _distances(values[some], values)
        distances[group[some, None] == group[None, :]] = np.inf
        right[start : start + len(some)] = label[distances.argmin(axis=1)] == label[some]
    return right


def _is_elsewhere(label: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each photo whether its label is in another series, too."""
    pairs = np.unique(np.stack([label, group], axis=1), axis=0)
    counts = np.bincount(pairs[:, 0])
    return np.asarray(counts[label] > 1)


def neighbours(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the numbers of each photo's 10 nearest neighbours, (n, 10), in no particular order."""
    k = min(NEIGHBOURS, len(values) - 1)
    found = np.empty((len(values), k), np.int64)
    for start in range(0, len(values), BLOCK):
        stop = min(start + BLOCK, len(values))
        distances = _distances(values[start:stop], values)
        distances[np.arange(stop - start), np.arange(start, stop)] = np.inf
        found[start:stop] = np.argpartition(distances, k - 1, axis=1)[:, :k]
    return found


def agreement(found: NDArray[np.int64], reference: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each photo the share of the reference's neighbours that are found, too."""
    common = [len(np.intersect1d(*pair, assume_unique=True)) for pair in zip(found, reference, strict=True)]
    return np.array(common, np.float64) / float(max(reference.shape[1], 1))


def difference(scores: NDArray[np.float64], reference: NDArray[np.float64], seed: int) -> Difference:
    """Return the mean of `scores - reference`, with its interval: photos are resampled with replacement."""
    each = scores - reference
    rng = np.random.default_rng((seed, len(each)))
    values, counts = np.unique(each, return_counts=True)  # few distinct values: draw how often each one comes
    drawn = rng.multinomial(len(each), counts / len(each), RESAMPLES) @ values / len(each)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(edge) for edge in np.quantile(drawn, (tail, 1 - tail)))
    return Difference(float(each.mean()), low, high)


def _distances(some: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return squared Euclidean distances (m, n)."""
    squares = np.einsum("ij,ij->i", values, values)
    return np.asarray(np.einsum("ij,ij->i", some, some)[:, None] + squares[None, :] - 2 * (some @ values.T))
