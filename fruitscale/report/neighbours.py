"""Which labels are close to each other, from the scores of some photos of each. Arrays in, pairs out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 5
BLOCK = 512
"""Photos that are compared with all others at once."""
Floats = NDArray[np.float32]
Codes = NDArray[np.integer]


@dataclass(frozen=True)
class Pair:
    """Two labels by their numbers. `value` is a share of neighbours, or a distance."""

    label: int
    other: int
    value: float


@dataclass(frozen=True)
class Closeness:
    """Which labels are close.

    `own` is the share of nearest neighbours that have the photo's own label; `confused` the largest shares that another
    label has, `nearest` the smallest distances of centroids, in units of the spread of the two labels. `medoids` are
    the rows nearest to the centroids, by label.
    """

    own: float
    confused: tuple[Pair, ...]
    nearest: tuple[Pair, ...]
    medoids: dict[int, int]


def closeness(scores: Floats, codes: Codes, most: int) -> Closeness | None:
    """Return which labels are close, up to `most` pairs of each kind; None with fewer than two labels.

    `scores` (n, k) are of photos, `codes` (n,) their labels' numbers.
    """
    labels = np.unique(codes)
    if len(labels) < 2:
        return None
    own, confused = _confused(codes, nearest(scores, NEIGHBOURS))
    centroids = np.stack([scores[codes == label].mean(axis=0, dtype=np.float64) for label in labels])
    away = np.linalg.norm(scores - centroids[np.searchsorted(labels, codes)], axis=1)
    medoids = {int(label): _least(codes == label, away) for label in labels}
    return Closeness(own, tuple(confused[:most]), tuple(_near(labels, codes, centroids, away, most)), medoids)


def nearest(scores: Floats, count: int) -> NDArray[np.intp]:
    """Return for each row (n, k) the rows of its `count` nearest others, in no order (n, count)."""
    count = min(count, len(scores) - 1)
    squares = np.einsum("ij,ij->i", scores, scores)
    found = []
    for start in range(0, len(scores), BLOCK):
        block = scores[start : start + BLOCK]
        distances = squares - 2 * (block @ scores.T)  # and the block's own squares, the same for a whole row
        distances[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        found.append(np.argpartition(distances, count - 1, axis=1)[:, :count])
    return np.concatenate(found)


def _confused(codes: Codes, neighbours: NDArray[np.intp]) -> tuple[float, list[Pair]]:
    theirs = codes[neighbours]
    totals = Counter(codes.tolist())
    met = Counter(zip(np.repeat(codes, theirs.shape[1]).tolist(), theirs.ravel().tolist(), strict=True))
    pairs = [Pair(a, b, n / (totals[a] * theirs.shape[1])) for (a, b), n in met.items() if a != b]
    return float((theirs == codes[:, None]).mean()), sorted(pairs, key=lambda p: (-p.value, p.label, p.other))


def _near(labels: Codes, codes: Codes, centroids: NDArray[np.float64], away: Floats, most: int) -> list[Pair]:
    spreads = np.array([np.sqrt(np.mean(away[codes == label] ** 2)) for label in labels])
    pairs = []
    for a in range(len(labels) - 1):
        apart = np.linalg.norm(centroids[a + 1 :] - centroids[a], axis=1)
        spread = (spreads[a + 1 :] + spreads[a]) / 2
        relative = np.divide(apart, spread, out=np.full_like(apart, np.inf), where=spread > 0)
        for b in np.argsort(relative, kind="stable")[:most]:
            pairs.append(Pair(int(labels[a]), int(labels[a + 1 + b]), float(relative[b])))
    return sorted(pairs, key=lambda p: (p.value, p.label, p.other))[:most]


def _least(mine: NDArray[np.bool_], away: Floats) -> int:
    rows = np.flatnonzero(mine)
    return int(rows[np.argmin(away[rows])])
