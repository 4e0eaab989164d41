"""Reads the EXIF orientation from a JPEG's header, and applies an orientation to an array of pixels."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
INVERSE = {6: 8, 8: 6}
"""The inverse of an orientation; every other one is its own inverse."""
ORIENTATION_TAG = 0x0112
_EXIF = b"Exif\0\0"
_VALUES = {3: "H", 4: "I"}
"""Struct formats of the types SHORT and LONG; some writers use LONG."""
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def jpeg_orientation(content: bytes) -> int:
    """Return the EXIF orientation (1 to 8) of a JPEG file; 1 if it is missing or invalid."""
    if content.find(_EXIF) < 0:  # most photos have none: one fast search is all they cost
        return UPRIGHT
    try:
        block = _exif_block(content)
        return _tiff_orientation(block) if block else UPRIGHT
    except struct.error:
        return UPRIGHT


def orient(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rotate and mirror stored pixels, shape (height, width, channels), upright from an orientation of EXIF 2.3."""
    if not UPRIGHT < orientation <= 8:
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _exif_block(content: bytes) -> bytes | None:
    """Return the TIFF structure inside the first EXIF segment (APP1) before the pixels."""
    at = 2
    while content[at : at + 1] == b"\xff":
        marker = content[at + 1] if at + 1 < len(content) else _END_OF_IMAGE
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return None
        (length,) = struct.unpack_from(">H", content, at + 2)
        if marker == 0xE1 and content.startswith(_EXIF, at + 4):
            return content[at + 4 + len(_EXIF) : at + 2 + length]
        at += 2 + max(length, 2)
    return None


def _tiff_orientation(block: bytes) -> int:
    """Return the orientation in the first directory of a TIFF structure. Raises struct.error if it is truncated."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return UPRIGHT
    (directory,) = struct.unpack_from(f"{order}I", block, 4)
    (entries,) = struct.unpack_from(f"{order}H", block, directory)
    for i in range(entries):
        entry = directory + 2 + 12 * i
        tag, kind, count = struct.unpack_from(f"{order}HHI", block, entry)
        if tag == ORIENTATION_TAG:
            if kind not in _VALUES or count != 1:
                return UPRIGHT
            (value,) = struct.unpack_from(order + _VALUES[kind], block, entry + 8)
            return int(value) if UPRIGHT <= value <= 8 else UPRIGHT
    return UPRIGHT
