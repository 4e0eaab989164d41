"""JPEG files made segment by segment, for what no encoder at hand writes."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

from tests.unit.pictures import Pixels, encode

Sampling = tuple[tuple[int, int], ...]


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def data_start(content: bytes) -> int:
    """Where the entropy-coded data of the last scan begins."""
    at = content.rindex(b"\xff\xda")
    return at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")


def after_jfif(content: bytes, inserted: bytes) -> bytes:
    """Insert bytes after the first segment."""
    at = 4 + int.from_bytes(content[4:6], "big")
    return content[:at] + inserted + content[at:]


def before_end(content: bytes, inserted: bytes) -> bytes:
    return content[:-2] + inserted + content[-2:]


def sampled(image: Pixels, sampling: Sampling, mode: str = "YCbCr") -> bytes:
    """A sequential JPEG with these horizontal and vertical sampling factors, each component in its own scan.

    A scan of one component is coded as a grey JPEG of that component's size is.
    """
    planes = Image.fromarray(image).convert(mode).split()
    height, width = image.shape[:2]
    widest, tallest = max(h for h, _ in sampling), max(v for _, v in sampling)
    scans, tables = b"", b""
    for number, (plane, (h, v)) in enumerate(zip(planes, sampling, strict=True), 1):
        size = (-(-width * h // widest), -(-height * v // tallest))
        grey = encode(plane.resize(size, Image.Resampling.BOX), "JPEG", quality=95)
        start = grey.index(b"\xff\xdb")
        tables = grey[start : grey.index(b"\xff\xc0")] + grey[grey.index(b"\xff\xc4") : grey.rindex(b"\xff\xda")]
        scans += segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + grey[data_start(grey) : -2]
    components = b"".join(bytes([n, h << 4 | v, 0]) for n, (h, v) in enumerate(sampling, 1))
    frame = segment(0xC0, struct.pack(">BHHB", 8, height, width, len(sampling)) + components)
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\0") if mode == "CMYK" else b""
    return b"\xff\xd8" + adobe + tables + frame + scans + b"\xff\xd9"


def many_scans(image: Pixels, scans: int) -> bytes:
    """A progressive JPEG in which one scan that changes nothing is repeated."""
    content = encode(np.full_like(image, 128), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + b"\xff\xd9"
