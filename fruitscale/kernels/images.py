"""Decodes a photo into a square of RGB pixels; for a bad photo it returns a Rejection and never raises.

All decoding of foreign bytes goes through `decode` or `decode_noting`, in workers and in the driver. The format is
recognised by content (`file_kinds`); simplejpeg decodes JPEG, the format of nearly every photo (`jpeg_decoding`), and
Pillow and pillow-heif the rest (`pillow_decoding`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Images
from fruitscale.kernels.exif import orient
from fruitscale.kernels.file_kinds import file_kind
from fruitscale.kernels.jpeg_decoding import decode_jpeg, simplejpeg
from fruitscale.kernels.pillow_decoding import decode_with_pillow
from fruitscale.kernels.rejection import Rejection

__all__ = ["Pixels", "Rejection", "decode", "decode_noting", "encode_png", "import_libraries", "resize"]

Pixels = NDArray[np.uint8]

_DEFAULTS = Images()


def decode(content: bytes, size: int, settings: Images = _DEFAULTS, crop: float | None = None) -> Pixels | Rejection:
    """Decode a photo and make it a square: uint8 RGB of shape (size, size, 3).

    `crop` is the fraction of the shorter side that a square from the middle has; None: the whole photo is stretched.

    The format is recognised by content: JPEG (and MPO), PNG, WebP, HEIC, AVIF, BMP, TIFF (first page) or GIF; of an
    animation the first frame. Transparent pixels are composited on white, the background of the fruit. Greys of more than 8
    bits are scaled by the range of their type; floats range from 0 to 1, or to 255 or 65535 if a value exceeds 1 or 255.
    Every CMYK JPEG is read as inverted, as Photoshop writes it and browsers read it. Shrinking averages areas, enlarging is
    bilinear.

    A photo that exceeds `settings.max_pixels`, or whose decoding would take more memory than `settings.max_decode_mb`, is
    rejected by its header, before memory is allocated. Never raises for a bad photo.
    """
    return decode_noting(content, size, settings, crop)[0]


def decode_noting(
    content: bytes, size: int, settings: Images = _DEFAULTS, crop: float | None = None
) -> tuple[Pixels | Rejection, str | None]:
    """Decode as `decode` does; return also a warning if the file has a fault that no viewer minds, in a few fixed words."""
    if (rejection := too_large(len(content), settings)) is not None:
        return rejection, None
    kind = file_kind(content)
    if isinstance(kind, Rejection):
        return kind, None
    if kind == "JPEG":
        stored, orientation, warning = decode_jpeg(content, size if crop is None else round(size / crop), settings)
    else:
        stored, orientation, warning = decode_with_pillow(kind, content, settings)
    if isinstance(stored, Rejection):
        return stored, None
    try:
        pixels = resize(stored if crop is None else middle(stored, crop), size)
    except (MemoryError, _cv2().error) as error:
        return Rejection("too many pixels", f"{kind}: {' '.join(str(error).split()) or 'out of memory'}"[:200]), None
    if settings.exif_orientation == "apply":
        pixels = orient(pixels, orientation)
    if not (pixels.flags.writeable and pixels.flags.c_contiguous):
        pixels = np.require(pixels, requirements=("C", "W"))
    return pixels, warning


def too_large(n_bytes: int, settings: Images) -> Rejection | None:
    """Return a Rejection for a file of more than `settings.max_bytes`, which need not be read for this."""
    if n_bytes <= settings.max_bytes:
        return None
    return Rejection("too large", f"It has {n_bytes:,} bytes; files of up to {settings.max_bytes:,} are read.")


def resize(pixels: Pixels, size: int) -> Pixels:
    """Stretch (height, width, 3) to (size, size, 3): area mean along a side that shrinks, bilinear along one that grows."""
    cv2 = _cv2()
    height, width = pixels.shape[:2]
    if height > size or width > size:  # OpenCV's area filter averages only if no side grows
        pixels = cv2.resize(pixels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    if height < size or width < size:
        pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    return pixels


def middle(pixels: Pixels, fraction: float) -> Pixels:
    """Return the square in the middle of (height, width, 3) whose side is a fraction of the shorter side."""
    height, width = pixels.shape[:2]
    side = max(round(min(height, width) * fraction), 1)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def encode_png(pixels: Pixels) -> bytes:
    """Encode RGB pixels (height, width, 3) as a PNG file."""
    cv2 = _cv2()
    content: bytes = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes()
    return content


def import_libraries() -> None:
    """Import the decoding and resizing libraries before the first photo needs them."""
    simplejpeg()
    _cv2()


@cache
def _cv2() -> Any:  # noqa: ANN401  an untyped module
    import cv2

    cv2.setNumThreads(1)  # engines run one task per core: more threads would only compete
    return cv2
