"""Finds labels that are close to each other, from the scores of a sample of photos. Arrays in, pairs out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 5
BLOCK = 512
"""Photos compared with all others at a time."""
Floats = NDArray[np.float32]
Codes = NDArray[np.integer]


@dataclass(frozen=True)
class LabelPair:
    """Two label numbers; `value` is a share of neighbours, or a distance."""

    label: int
    other: int
    value: float


@dataclass(frozen=True)
class Closeness:
    """Which labels are close.

    `own` is the share of nearest neighbours with the photo's own label; `confused` the largest shares of another label;
    `others` the same, counting only each photo's nearest photo of another label; `nearest` the smallest distances between
    centroids, in units of the labels' spread. `medoids` maps a label to the row nearest to its centroid.
    """

    own: float
    confused: tuple[LabelPair, ...]
    others: tuple[LabelPair, ...]
    nearest: tuple[LabelPair, ...]
    medoids: dict[int, int]


def closeness(scores: Floats, codes: Codes, most: int) -> Closeness | None:
    """Return the closest labels, up to `most` pairs of each kind; None with fewer than two labels.

    `scores` is (n, k), one row per photo; `codes` (n,) are label numbers.
    """
    labels = np.unique(codes)
    if len(labels) < 2:
        return None
    neighbours, others = nearest(scores, codes, NEIGHBOURS)
    own = float((codes[neighbours] == codes[:, None]).mean())
    confused, alike = _pairs(codes, neighbours), _pairs(codes, others[:, None])
    centroids = np.stack([scores[codes == label].mean(axis=0, dtype=np.float64) for label in labels])
    away = np.linalg.norm(scores - centroids[np.searchsorted(labels, codes)], axis=1)
    medoids = {int(label): _least(codes == label, away) for label in labels}
    near = _near(labels, codes, centroids, away, most)
    return Closeness(own, tuple(confused[:most]), tuple(alike[:most]), tuple(near), medoids)


def nearest(scores: Floats, codes: Codes, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return each row's `count` nearest rows, unordered (n, count), and its nearest row of another label (n,).

    Needs at least two labels.
    """
    count = min(count, len(scores) - 1)
    squares = np.einsum("ij,ij->i", scores, scores)
    found, others = [], []
    for start in range(0, len(scores), BLOCK):
        block = slice(start, start + BLOCK)
        distances = squares - 2 * (
            scores[block] @ scores.T
        )  # the block's own squares are constant per row, so they are left out
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf
        found.append(np.argpartition(distances, count - 1, axis=1)[:, :count])
        distances[codes[block, None] == codes] = np.inf
        others.append(distances.argmin(axis=1))
    return np.concatenate(found), np.concatenate(others)


def _pairs(codes: Codes, neighbours: NDArray[np.intp]) -> list[LabelPair]:
    """Return pairs of labels: the share of the first label's neighbours (n, count) that have the second label."""
    theirs = codes[neighbours]
    totals = Counter(codes.tolist())
    met = Counter(zip(np.repeat(codes, theirs.shape[1]).tolist(), theirs.ravel().tolist(), strict=True))
    pairs = [LabelPair(a, b, n / (totals[a] * theirs.shape[1])) for (a, b), n in met.items() if a != b]
    return sorted(pairs, key=lambda p: (-p.value, p.label, p.other))


def _near(labels: Codes, codes: Codes, centroids: NDArray[np.float64], away: Floats, most: int) -> list[LabelPair]:
    spreads = np.array([np.sqrt(np.mean(away[codes == label] ** 2)) for label in labels])
    squares, pairs = np.einsum("ij,ij->i", centroids, centroids), []
    for a in range(len(labels) - 1):
        rest = slice(a + 1, None)
        distances = np.sqrt(np.maximum(squares[rest] + squares[a] - 2 * (centroids[rest] @ centroids[a]), 0))
        spread = (spreads[a + 1 :] + spreads[a]) / 2
        relative = np.divide(distances, spread, out=np.full_like(distances, np.inf), where=spread > 0)
        for b in np.argpartition(relative, min(most, len(relative)) - 1)[:most]:
            pairs.append(LabelPair(int(labels[a]), int(labels[a + 1 + b]), float(relative[b])))
    apart = [pair for pair in pairs if np.isfinite(pair.value)]  # labels with a single photo have no spread
    return sorted(apart, key=lambda p: (p.value, p.label, p.other))[:most]


def _least(mine: NDArray[np.bool_], away: Floats) -> int:
    rows = np.flatnonzero(mine)
    return int(rows[np.argmin(away[rows])])
