"""Pictures and files for the tests of kernels/images.py, and Pillow's own reading of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fruitscale.config.schema import Images
from fruitscale.kernels.images import Rejection, decode

Pixels = NDArray[np.uint8]
REASONS = {
    "empty", "not an image", "a video", "unsupported format", "too many pixels", "too many scans", "truncated", "damaged",
}  # fmt: skip
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


def picture(width: int = 120, height: int = 90) -> Pixels:
    """A smooth picture in which every corner, and every channel, is different."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = (200 * x + 30, 120 * y + 60 * x + 20, 90 + 100 * np.sin(4 * x + 2 * y))
    return np.stack(planes, axis=2).round().clip(0, 255).astype(np.uint8)


def encode(image: Image.Image | Pixels, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def expected(image: Image.Image, size: int) -> NDArray[np.int16]:
    """Pillow's own pixels, on white, stretched by Pillow: BOX where it shrinks and BILINEAR where it grows."""
    layer = image.convert("RGBA")
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer.getchannel("A"))
    shrunk = page.resize((min(size, page.width), min(size, page.height)), Image.Resampling.BOX)
    return np.asarray(shrunk.resize((size, size), Image.Resampling.BILINEAR)).astype(np.int16)


def pixels(content: bytes, size: int = 64, **options: Any) -> NDArray[np.int16]:
    result = decode(content, size, Images(**options))
    assert isinstance(result, np.ndarray), result
    assert result.shape == (size, size, 3)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable
    return result.astype(np.int16)


def rejection(content: bytes, size: int = 64, **options: Any) -> Rejection:
    result = decode(content, size, Images(**options))
    assert isinstance(result, Rejection)
    assert result.reason in REASONS
    assert result.detail
    assert "\n" not in result.detail
    assert " at 0x" not in result.detail
    return result


def assert_close(got: NDArray[np.int16], want: NDArray[np.int16], mean: float = 1.5) -> None:
    assert np.abs(got - want).mean() <= mean


def tiff(values: NDArray[Any], sample_format: int, order: Literal["<", ">"] = "<", photometric: int = 1) -> bytes:
    """A TIFF of one strip, by hand, for what Pillow doesn't write."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = [
        (256, values.shape[1]),
        (257, values.shape[0]),
        (258, values.dtype.itemsize * 8),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, values.shape[0]),
        (279, len(data)),
        (339, sample_format),
    ]
    long_or_short = [(t, 4, v) if t in (273, 279) else (t, 3, v) for t, v in tags]
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, value in long_or_short:
        packed = struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0)
        directory += struct.pack(f"{order}HHI", tag, kind, 1) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    return head + data + directory + b"\0\0\0\0"


def ifd(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return head + b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries) + b"\0\0\0\0"


def exif_jpeg(tiff_block: bytes, before: bytes = b"") -> bytes:
    body = encode(picture(), "JPEG")
    block = b"Exif\0\0" + tiff_block
    return body[:2] + before + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + body[2:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
