"""Reads the EXIF orientation from a JPEG's header, and applies an orientation to an array of pixels."""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from fruitscale.kernels.jpeg_header import END_OF_IMAGE, STANDALONE, START_OF_SCAN, next_marker

UPRIGHT = 1
INVERSE = {6: 8, 8: 6}
"""The inverse of an orientation; every other one is its own inverse."""
ORIENTATION_TAG = 0x0112
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ORIENTATION = b"tiff:Orientation"
_XMP_VALUE = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_VALUES = {3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
"""Struct formats of the number types that Pillow accepts: some writers use LONG."""
_APP1, _SCAN = 0xE1, b"\xff\xda"
_INVALID = 0


def jpeg_orientation(content: bytes, frame_at: int = 0) -> int:
    """Return the EXIF orientation (1 to 8) of a JPEG file, or that of its XMP if the EXIF has none; 1 if missing or invalid.

    `frame_at` is a place in its header, behind any thumbnail.
    """
    end = content.find(_SCAN, frame_at) if frame_at else len(content)
    has_xmp = content.find(_XMP_ORIENTATION, 0, end) >= 0
    if content.find(_EXIF, 0, end) < 0 and not has_xmp:  # most photos have none: fast searches are all they cost
        return UPRIGHT
    exif, xmp = _metadata(content)
    orientation = _tiff_orientation(exif) if exif else None
    if orientation is None and has_xmp:
        orientation = xmp_orientation(xmp)
    return as_orientation(orientation)


def xmp_orientation(xmp: bytes | None) -> int | None:
    """Return the orientation in an XMP packet, found as Pillow finds it."""
    found = _XMP_VALUE.search(xmp) if xmp else None
    return int(found[1]) if found else None


def as_orientation(value: object) -> int:
    """Return a stored value as an orientation; 1 if it is none. Pillow accepts all types of numbers, so 6.0 is 6."""
    return next((n for n in range(UPRIGHT, 9) if value == n), UPRIGHT)


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


def _metadata(content: bytes) -> tuple[bytes, bytes]:
    """Return the EXIF (a TIFF structure) and the XMP before the pixels; empty if missing.

    As Pillow does: several EXIF segments are one, and the last XMP counts.
    """
    exif, xmp, at = b"", b"", 2
    while True:
        marker, at = next_marker(content, at)
        if marker in STANDALONE:
            continue
        if marker in (None, START_OF_SCAN, END_OF_IMAGE):
            return exif, xmp
        end = at + max(int.from_bytes(content[at : at + 2], "big"), 2)
        if marker == _APP1 and content.startswith(_EXIF, at + 2):
            exif += content[at + 2 + len(_EXIF) : end]
        elif marker == _APP1 and content.startswith(_XMP, at + 2):
            xmp = content[at + 2 + len(_XMP) : end]
        at = end


def _tiff_orientation(block: bytes) -> float | None:
    """Return the orientation in the first directory of a TIFF structure, as far as it can be read; None if it has none."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    found: float | None = None
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", block, entry)
            if tag == ORIENTATION_TAG:
                found = _number(block, entry + 8, order, kind, count) if count and kind in _VALUES else _INVALID
    except struct.error:
        pass
    return found


def _number(block: bytes, at: int, order: str, kind: int, count: int) -> float:
    """Return the first value of a directory entry. Raises struct.error if it is outside the block."""
    layout = order + _VALUES[kind]
    if struct.calcsize(layout) * count > 4:
        (at,) = struct.unpack_from(f"{order}I", block, at)
    value, *divisor = struct.unpack_from(layout, block, at)
    if not divisor:
        return float(value)
    return value / divisor[0] if divisor[0] else _INVALID
