"""The patch_mean network: the mean of each patch of a grid, nearly free, to measure the cost of everything else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def patch_means(pixels: NDArray[np.uint8], grid: int) -> NDArray[np.float32]:
    """Return the means of grid × grid patches of RGB pixels (n, size, size, 3): (n, grid · grid · 3), row by row.

    `size` is a multiple of `grid` and at most 256 times it, so every sum is exact and the same on every CPU.
    """
    n, size = pixels.shape[:2]
    side = size // grid
    rows = pixels.reshape(n, grid, side, size * 3).sum(axis=2, dtype=np.uint16)  # 256 · 255 fits
    sums = rows.reshape(n, grid, grid, side, 3).sum(axis=3, dtype=np.uint32)
    means: NDArray[np.float32] = sums.reshape(n, grid * grid * 3).astype(np.float32) / np.float32(side * side)
    return means
