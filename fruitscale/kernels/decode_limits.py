"""Estimates the memory that decoding a photo takes, from its header, and rejects what would exceed the limit.

The numbers are bytes per pixel at the peak, measured over the codecs' own buffers, Pillow's image and the RGB array.
"""

from __future__ import annotations

from fruitscale.config.schema import Images
from fruitscale.kernels.jpeg_header import JpegFrame
from fruitscale.kernels.rejection import Rejection, too_many_pixels

_BYTES_PER_PIXEL = {"WebP": 18, "AVIF": 15, "HEIC": 10}
_PIXEL_BYTES, _DEEP_PIXEL_BYTES = 10, 20
"""PNG, GIF, BMP and TIFF; greys of more than 8 bits, which are converted as floats."""
_DEEP_HEIC = 16
_SECOND_READER = 11
"""A JPEG at full scale through Pillow."""
_RGB, _INK = 3, 20
"""A scaled JPEG: its pixels; for CMYK, those and their conversion."""
_BLOCK_BYTES, _COEFFICIENTS = 128, 8
"""A block's coefficients, which are all kept until the last scan; that is, per pixel, at most this much."""
_MB = 1_000_000


def excess(kind: str, width: int, height: int, settings: Images, deep: bool = False) -> Rejection | None:
    """Return a Rejection if a photo exceeds `images.max_pixels`, or decoding it `images.max_decode_mb`.

    `deep` is for more than 8 bits per channel.
    """
    per_pixel = _BYTES_PER_PIXEL.get(kind, _DEEP_PIXEL_BYTES if deep else _PIXEL_BYTES)
    if kind == "HEIC" and deep:
        per_pixel = _DEEP_HEIC
    return _over_pixels(width, height, settings) or _over_memory(width, height, width * height * per_pixel, settings)


def jpeg_excess(content: bytes, frame: JpegFrame, eighths: int, settings: Images) -> Rejection | None:
    """Return a Rejection if a JPEG that is decoded at a scale of `eighths` / 8 exceeds a limit."""
    pixels = frame.width * frame.height
    if settings.max_pixels is None and pixels * (_INK + _COEFFICIENTS) <= settings.max_decode_mb * _MB:
        return None
    taken = pixels * eighths**2 // 64 * (_INK if len(frame.samplings) == 4 else _RGB)
    if frame.progressive or content.count(b"\xff\xda") > 1:
        taken += frame.blocks * _BLOCK_BYTES
    return _over_pixels(frame.width, frame.height, settings) or _over_memory(frame.width, frame.height, taken, settings)


def second_reader_excess(frame: JpegFrame, settings: Images) -> Rejection | None:
    """Return a Rejection if a JPEG that Pillow decodes at full scale exceeds a limit."""
    taken = frame.width * frame.height * _SECOND_READER + frame.blocks * _BLOCK_BYTES
    return _over_pixels(frame.width, frame.height, settings) or _over_memory(frame.width, frame.height, taken, settings)


def _over_pixels(width: int, height: int, settings: Images) -> Rejection | None:
    if settings.max_pixels is None or width * height <= settings.max_pixels:
        return None
    return too_many_pixels(width, height, settings.max_pixels)


def _over_memory(width: int, height: int, taken: int, settings: Images) -> Rejection | None:
    if taken <= settings.max_decode_mb * _MB:
        return None
    return Rejection(
        "too many pixels",
        f"Decoding {width} x {height} pixels takes {taken // _MB:,} MB; images.max_decode_mb is {settings.max_decode_mb:,}.",
    )
