"""Measures of a photo's quality: brightness, contrast, entropy and sharpness of its pixels, and its stored size.

The definitions are those of cleanvision, except contrast: scikit-image's `is_low_contrast`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fruitscale.kernels.container_sizes import webp_size
from fruitscale.kernels.images import Pixels, resize
from fruitscale.kernels.jpeg_header import jpeg_frame

_BINS = 256
MOST_SIDE = 112
"""Larger squares are shrunk first: a quarter of the time."""


class PhotoMeasures(NamedTuple):
    """What is measured of a photo's pixels, at the network's input size, or 112 pixels if that is larger.

    `bright` and `dim` are the 99th and 5th percentile of perceived brightness (0 to 1), `contrast` the range between the
    1st and 99th percentile of grey (0 to 1), `entropy` that of grey in bits (0 to 8), `sharpness` the variance of the
    Laplacian of grey.
    """

    bright: float
    dim: float
    contrast: float
    entropy: float
    sharpness: float


def measure(pixels: Pixels) -> PhotoMeasures:
    """Measure decoded pixels (n, n, 3)."""
    pixels = resize(pixels, min(len(pixels), MOST_SIDE))
    planes = [pixels[..., channel].astype(np.int16) for channel in range(3)]
    grey = (38 * planes[0] + 75 * planes[1] + 15 * planes[2]) >> 7  # ITU-R 601, in 16 bits
    counts = np.bincount(grey.ravel(), minlength=_BINS)
    red, green, blue = (plane.astype(np.float32) ** 2 for plane in planes)
    light = np.sqrt(0.241 * red + 0.691 * green + 0.068 * blue).astype(np.uint8)
    lights = np.bincount(light.ravel(), minlength=_BINS)
    shares = counts[counts > 0] / grey.size
    return PhotoMeasures(
        bright=_percentile(lights, 99) / 255,
        dim=_percentile(lights, 5) / 255,
        contrast=(_percentile(counts, 99) - _percentile(counts, 1)) / 255,
        entropy=float(-(shares * np.log2(shares)).sum()),
        sharpness=_laplacian_variance(grey),
    )


def _percentile(counts: NDArray[np.intp], percent: int) -> int:
    """Return the smallest value with at least this share of all values up to it."""
    upto = np.cumsum(counts)
    return int(np.searchsorted(upto, upto[-1] * percent / 100))


def _laplacian_variance(grey: NDArray[np.int16]) -> float:
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    counts = np.bincount((around + 4 * _BINS).ravel(), minlength=8 * _BINS)
    values = np.arange(len(counts)) - 4 * _BINS
    mean = counts @ values / around.size
    return float(counts @ (values - mean) ** 2 / around.size)


def stored_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height that a photo's header states; None for TIFF, HEIC and AVIF, or if it states none."""
    if content.startswith(b"\xff\xd8"):
        frame = jpeg_frame(content)
        return (frame.width, frame.height) if frame is not None and frame.height else None
    try:
        if content.startswith(b"\x89PNG"):
            return struct.unpack_from(">II", content, 16)
        if content.startswith(b"GIF8"):
            return struct.unpack_from("<HH", content, 6)
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return width, abs(height)
    except struct.error:
        return None
    return webp_size(content) if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None
