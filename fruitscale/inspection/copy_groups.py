"""Finds copies of a photo: equal files, and the same photo compressed or resized again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fruitscale.inspection.photo_readings import Readings

Floats = NDArray[np.float32]
FURTHEST = 6.0
"""Grey levels (root mean square) beyond which two photos are never compared in detail."""
CANDIDATES = 50
"""Nearest photos that each is compared with in detail."""
POOL, ROWS = 4, 256
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


class CopyPair(NamedTuple):
    """Two rows, and by how much the photos differ: 0 if the files are equal."""

    row: int
    other: int
    difference: float
    equal: bool


def copies_within(photos: Readings, limit: float) -> Iterator[CopyPair]:
    """Yield the pairs of copies in a run, each once."""
    return (pair for pair in copies_between(photos, photos, limit) if pair.other < pair.row)


def copies_between(photos: Readings, others: Readings, limit: float) -> Iterator[CopyPair]:
    """Yield the pairs of a photo and its copy among `others`.

    A photo that was compressed again differs a little everywhere, but its details stay where they are; in another photo of
    the same thing they move. So the difference is multiplied by what their details have not in common.
    """
    known = _Compared(others)
    rows = np.flatnonzero(photos.readable)
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        asked = _Compared(photos, some)
        for number, (row, near) in enumerate(zip(some, known.nearest(asked.pooled), strict=True)):
            reading = photos.photos[row]
            for other, apart in zip(near, known.differences(asked, number, near), strict=True):
                found = others.photos[other]
                equal = reading is not None and found is not None and reading.digest == found.digest
                if (equal or apart < limit) and (photos is not others or other != row):
                    yield CopyPair(int(row), int(other), 0.0 if equal else float(apart), equal)


class _Compared:
    """Photos as vectors to compare: pixels, means of 4 x 4 pixels, and details of unit length."""

    def __init__(self, readings: Readings, rows: NDArray[np.intp] | None = None) -> None:
        self.squares = readings.squares if rows is None else readings.squares[rows]
        n, side = len(self.squares), self.squares.shape[1] // POOL
        means = self.squares.reshape(n, side, POOL, side, POOL, 3).mean(axis=(2, 4), dtype=np.float32)
        self.pooled: Floats = (means - np.float32(128)).reshape(n, side * side * 3)
        readable = readings.readable if rows is None else readings.readable[rows]
        self.lengths = np.where(readable, (self.pooled * self.pooled).sum(axis=1), np.inf)

    def nearest(self, pooled: Floats) -> Iterator[NDArray[np.intp]]:
        """Yield the rows that may be copies, nearest first; the distance of means is never more than that of pixels."""
        most = FURTHEST**2 * pooled.shape[1] + 1e2  # the tolerance is for float32
        for squared in (pooled * pooled).sum(axis=1)[:, np.newaxis] + self.lengths - 2 * (pooled @ self.pooled.T):
            near = np.flatnonzero(squared < most)
            yield near[np.argsort(squared[near], kind="stable")[: CANDIDATES + 1]]

    def differences(self, asked: _Compared, row: int, near: NDArray[np.intp]) -> Floats:
        """Return the difference of each of these photos from a photo."""
        apart = self.squares[near].astype(np.float32) - asked.squares[row]
        rms = np.sqrt((apart * apart).mean(axis=(1, 2, 3)))
        alike = _details(self.squares[near]) @ _details(asked.squares[row : row + 1])[0]
        found: Floats = np.where(rms < FURTHEST, rms * np.sqrt(np.maximum(1 - alike, 0)), np.inf)
        return found


def _details(squares: NDArray[np.uint8]) -> Floats:
    """Return the Laplacian of grey, centred and of unit length, by row; zeros for a photo without details."""
    grey = squares.astype(np.float32) @ _GREY
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    details = (around - 4 * grey[:, 1:-1, 1:-1]).reshape(len(grey), (grey.shape[1] - 2) ** 2)
    details -= details.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(details, axis=1, keepdims=True)
    return np.where(lengths > 1, details / np.maximum(lengths, 1), np.float32(0)).astype(np.float32)


def grouped(pairs: Sequence[CopyPair], sizes: Sequence[int]) -> list[list[int]]:
    """Return the rows of each group of copies: first the one to keep, the largest file, and the others in order."""
    root: dict[int, int] = {}

    def find(row: int) -> int:
        while (above := root.setdefault(row, row)) != row:
            root[row] = root[above]
            row = above
        return row

    for pair in pairs:
        one, other = sorted((find(pair.row), find(pair.other)))
        root[other] = one
    groups: dict[int, list[int]] = defaultdict(list)
    for row in sorted(root):
        groups[find(row)].append(row)
    return [sorted(rows, key=lambda row: (-sizes[row], row)) for rows in groups.values()]
