"""Reads a run's photos again and measures them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.kernels.images import Pixels, resize
from fruitscale.kernels.photo_measures import PhotoMeasures, measure, stored_size
from fruitscale.runs.photos import read_each
from fruitscale.runs.reader import CompleteRun
from fruitscale.storage.residency import StorageAccess

SIDE = 32


@dataclass(frozen=True)
class PhotoReading:
    """One photo: the hash of its bytes, its stored width and height if known, and its measures."""

    digest: bytes
    sides: tuple[int, int] | None
    measures: PhotoMeasures


@dataclass(frozen=True)
class Readings:
    """Photos by row; None for one that can't be read. `squares` (n, 32, 32, 3) are white for those."""

    photos: Sequence[PhotoReading | None]
    squares: NDArray[np.uint8]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which photos were read."""
        return np.array([photo is not None for photo in self.photos], bool)


def read_photos(run: CompleteRun, paths: Sequence[str], size: int, access: StorageAccess) -> Readings:
    """Read and measure these photos of a run. Raises what `runs.photos.read_each` raises."""
    photos: list[PhotoReading | None] = [None] * len(paths)
    squares = np.full((len(paths), SIDE, SIDE, 3), 255, np.uint8)
    for row, taken in enumerate(read_each(run, paths, size, access, _reading)):
        if taken is not None:
            photos[row], squares[row] = taken
    return Readings(photos, squares)


def _reading(content: bytes, pixels: Pixels) -> tuple[PhotoReading, Pixels]:
    digest = hashlib.sha256(content).digest()
    return PhotoReading(digest, stored_size(content), measure(pixels)), resize(pixels, SIDE)
