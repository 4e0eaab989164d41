"""Converts a decoded image of any of Pillow's modes to RGB on white, in bands, so that no second copy of it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

Pixels = NDArray[np.uint8]

_SIGNED = 2
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO = 0
_BAND = 1 << 20
"""Pixels converted at once."""


def rgb(image: ImageFile) -> Pixels:
    """Convert a loaded image to RGB, shape (height, width, 3). Transparent pixels are composited on white."""
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _grey_from_floats(image) if image.mode == "F" else _grey_from_integers(image)
        if _is_white_zero(image):  # Pillow inverts up to 8 bits only
            grey = 255 - grey
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    width, height = image.size
    rows = max(_BAND // width, 1)
    if rows >= height:
        return np.asarray(_on_white(image))
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(_on_white(band))
    return pixels


def _on_white(image: PillowImage) -> PillowImage:
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(layer, mask=layer.getchannel("A"))
    return page


def _is_white_zero(image: ImageFile) -> bool:
    tags = getattr(image, "tag_v2", None) or {}
    return bool(tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _grey_from_integers(image: ImageFile) -> Pixels:
    """Scale integers of more than 8 bits by the range of their type; negative values become black."""
    tags = getattr(image, "tag_v2", None) or {}  # a PNG has none: 16 bits, unsigned
    bits, signed = tags.get(_BITS_PER_SAMPLE, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
    values = np.asarray(image)
    if bits == 32 and not signed:  # Pillow stores these as signed
        values = values.view(np.uint32)
    return _grey(values, 2 ** (bits - signed) - 1)


def _grey_from_floats(image: ImageFile) -> Pixels:
    """Scale floats by the smallest usual range that includes the maximum; NaN and infinities become black."""
    values = np.nan_to_num(np.asarray(image), nan=0, posinf=0, neginf=0)
    largest = float(values.max())
    return _grey(values, next((top for top in (1, 255, 65535) if largest <= top), largest))


def _grey(values: NDArray[np.generic], top: float) -> Pixels:
    grey = np.empty(values.shape, np.uint8)
    rows = max(_BAND // max(values.shape[1], 1), 1)
    for start in range(0, len(values), rows):
        scaled: NDArray[np.float32] = values[start : start + rows].astype(np.float32) * np.float32(255 / top)
        grey[start : start + rows] = np.clip(np.rint(scaled), 0, 255)
    return grey
