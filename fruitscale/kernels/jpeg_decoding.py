"""Decodes JPEG with simplejpeg in strict mode; what it refuses for a harmless fault is read all the same, with a warning.

The frame header is read first, and only frames that libjpeg-turbo scales correctly reach it. Pillow is the second reader,
of the chroma subsamplings that simplejpeg doesn't know.
"""

from __future__ import annotations

import io
import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Images
from fruitscale.kernels.decode_limits import jpeg_excess, second_reader_excess
from fruitscale.kernels.exif import UPRIGHT, jpeg_orientation
from fruitscale.kernels.jpeg_header import (
    END_OF_IMAGE,
    MOST_SCANS,
    JpegFrame,
    is_cut_off,
    jpeg_frame,
    too_many_scans,
)
from fruitscale.kernels.jpeg_repair import JpegScans, take_apart
from fruitscale.kernels.python_warnings import no_warnings
from fruitscale.kernels.rejection import Rejection, rejected_by

Pixels = NDArray[np.uint8]
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_MOST_REPAIRS, _MOST_CANDIDATES = 4, 4
_MOST_VISITS = 2_000_000
"""Blocks times scans of a JPEG whose stray bytes are looked for, which takes up to 80 decodes."""
_FULL, _OVERSAMPLING, _LEAST_SIDE = 8, 3, 256
"""Full scale in eighths; decoded pixels per pixel of the result, and per side, that keep differences within 1 grey level.

Among 300 photos from cameras and phones, the largest difference was 1.2; with 1.5 pixels per pixel it was 4.8.
"""
_READ_AHEAD = 8
"""Bytes that libjpeg has read already when it counts extraneous ones."""
_HUFFMAN = (0xC0, 0xC1)
"""Sequential frames with Huffman codes."""
_RARE = "a rare chroma subsampling"
_HARMLESS = {
    "invalid sos parameters": "invalid parameters of a sequential scan",
    "extraneous bytes": "stray bytes between segments or before the end",
    "bad icc marker": "an incomplete colour profile",
    "unknown jfif revision": "an unknown JFIF revision",
    "unknown adobe": "an unknown colour transform",
}
"""What libjpeg calls a fault, and what the warning says."""


def decode_jpeg(content: bytes, size: int, settings: Images) -> tuple[Pixels | Rejection, int, str | None]:
    """Return a JPEG's stored pixels, the orientation to apply, and a warning; or a Rejection.

    There are at least 3 times `size` pixels per side, if the photo has as many.
    """
    frame = jpeg_frame(content)
    if frame is None:
        return _jpeg_rejection(content, ValueError("there is no frame header")), UPRIGHT, None
    rejected = _refused(content, frame)
    if rejected is not None:
        return rejected, UPRIGHT, None
    warning = None
    try:
        pixels = _strictly(content, frame, size, settings)
    except Exception as error:  # noqa: BLE001  mostly ValueError, also MemoryError and KeyError
        pixels, warning = _second_try(content, error, size, settings)
    return pixels, jpeg_orientation(content, frame.at), warning


def _refused(content: bytes, frame: JpegFrame) -> Rejection | None:
    """Return a Rejection of a frame that the decoder must not be given."""
    if frame.unsupported is not None:  # scaled decoding of a lossless frame writes beyond the decoder's buffer
        return Rejection("unsupported format", f"It is {frame.unsupported}, which is not read.")
    scans = too_many_scans(content, frame)
    if scans is not None:
        return Rejection("too many scans", f"It has {scans:,} scans; up to {MOST_SCANS} are decoded.")
    return None


def _strictly(content: bytes, frame: JpegFrame, size: int, settings: Images) -> Pixels | Rejection:
    """Decode with simplejpeg. Raises whatever it raises, also for harmless faults."""
    decoder = simplejpeg()
    height, width, colours, _ = decoder.decode_jpeg_header(content)
    ink, eighths = colours in ("CMYK", "YCCK"), _scale(height, width, size)
    excess = jpeg_excess(content, frame, eighths, settings)
    if excess is not None:
        return excess
    # The accurate transform and chroma: 5 % slower than the fast ones, but the same pixels as Pillow's.
    pixels = decoder.decode_jpeg(
        content,
        "CMYK" if ink else "RGB",
        fastdct=False,
        fastupsample=False,
        min_height=0 if eighths == _FULL else -(-height * eighths // _FULL),
        min_width=0 if eighths == _FULL else -(-width * eighths // _FULL),
        strict=True,
    )
    return _rgb_from_ink(pixels) if ink else pixels


def _scale(height: int, width: int, size: int) -> int:
    """Return the scale of decoding in eighths: the smallest that leaves enough pixels to average like Pillow.

    A 12-megapixel photo is decoded at 2/8 for a size of 224, in half the time. The fast scales are 1, 2, 4 and 8.
    """
    least = max(_OVERSAMPLING * size, _LEAST_SIDE)
    return next((eighths for eighths in (1, 2, 4) if min(height, width) * eighths >= least * _FULL), _FULL)


def _second_try(content: bytes, error: Exception, size: int, settings: Images) -> tuple[Pixels | Rejection, str | None]:
    """Decode a JPEG that was refused, without its harmless faults; return a Rejection if others remain."""
    warning = next((text for mark, text in _HARMLESS.items() if mark in str(error).lower()), "a fault in its header")
    scans = take_apart(content)
    for _ in range(_MOST_REPAIRS):
        if scans is None:
            break
        try:
            return _strictly(scans.content(), scans.frame, size, settings), warning
        except Exception as remaining:  # noqa: BLE001  as above
            error = remaining
        if isinstance(error, KeyError) or "subsampling" in str(error):
            return _with_second_reader(scans, settings)
        stray = _EXTRANEOUS.search(str(error))
        scans = _without_stray_bytes(scans, int(stray[1]), int(stray[2], 16), settings) if stray else None
    return _jpeg_rejection(content, error), None


def _without_stray_bytes(scans: JpegScans, count: int, before: int, settings: Images) -> JpegScans | None:
    """Return a copy without the stray bytes before a marker; None if they are the rest of damaged data."""
    if scans.frame.blocks * len(scans.data) > _MOST_VISITS:
        return None
    markers = [head[1] for head in scans.heads[1:]] + [END_OF_IMAGE]
    candidates = [n for n, marker in enumerate(markers) if marker == before and len(scans.data[n]) > count]
    for scan in candidates[:_MOST_CANDIDATES]:
        kept = scans.shortened(scan, count)
        if not _is_whole(kept):
            continue
        for _ in range(_READ_AHEAD):
            shorter = kept.shortened(scan, 1)
            if not _is_whole(shorter):
                break
            kept = shorter
        if kept.lost_only_stray_bytes(scan, scans) and _ends_in_padding(kept, scan, settings):
            return kept
    return None


def _is_whole(scans: JpegScans) -> bool:
    """Return whether a JPEG decodes strictly, but for other stray bytes; at a small scale."""
    try:
        simplejpeg().decode_jpeg(scans.content(), _colours(scans), min_height=1, min_width=1)
    except ValueError as error:
        return _EXTRANEOUS.search(str(error)) is not None
    return True


def _ends_in_padding(scans: JpegScans, scan: int, settings: Images) -> bool:
    """Return whether a scan's data ends as an encoder ends it: the last byte is filled up with bits of one value.

    Data that went out of step ends anywhere. Bits that can be inverted without a change in any pixel are padding.
    """
    if scans.frame.marker not in _HUFFMAN or jpeg_excess(b"", scans.frame, _FULL, settings) is not None:
        return True  # a bit of a refinement may change no pixel; or the photo is too large to decode at full scale
    decoder, colours = simplejpeg(), _colours(scans)
    pixels = decoder.decode_jpeg(scans.content(), colours, strict=False)
    padding = set()
    for bit in range(7):
        flipped, value = scans.with_flipped_bit(scan, bit)
        if not np.array_equal(decoder.decode_jpeg(flipped.content(), colours, strict=False), pixels):
            break
        padding.add(value)
    return len(padding) <= 1


def _colours(scans: JpegScans) -> str:
    return "CMYK" if len(scans.frame.samplings) == 4 else "RGB"


def _with_second_reader(scans: JpegScans, settings: Images) -> tuple[Pixels | Rejection, str | None]:
    """Decode with Pillow, at full scale."""
    from PIL.JpegImagePlugin import JpegImageFile

    excess = second_reader_excess(scans.frame, settings)
    if excess is not None:
        return excess, None
    try:
        with no_warnings:
            image = JpegImageFile(io.BytesIO(scans.content()))
            image.load()
            if image.mode == "CMYK":  # Pillow has inverted it
                return _rgb_from_ink(255 - np.asarray(image)), _RARE
            return np.asarray(image.convert("RGB")), _RARE
    except Exception as error:  # noqa: BLE001  damaged bytes make Pillow raise nearly anything
        return rejected_by("JPEG", error), None


def _rgb_from_ink(ink: Pixels) -> Pixels:
    """Convert inverted CMYK, shape (height, width, 4), to RGB: each channel times black."""
    light = ink[..., :3].astype(np.uint16) * ink[..., 3:]
    return ((light + 127) // 255).astype(np.uint8)


def _jpeg_rejection(content: bytes, error: Exception) -> Rejection:
    found = rejected_by("JPEG", error)
    if found.reason not in ("truncated", "damaged"):
        return found
    return Rejection("truncated" if is_cut_off(content) else "damaged", found.detail)


@cache
def simplejpeg() -> Any:  # noqa: ANN401  an untyped module
    """Return simplejpeg, imported on first use."""
    import simplejpeg as module

    return module
