"""Frame headers of JPEG: which frames may be decoded, and that nothing crashes the process."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fruitscale.kernels import images
from fruitscale.kernels.images import Rejection
from fruitscale.kernels.jpeg_header import jpeg_frame


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def lossless(side: int) -> bytes:
    """A lossless JPEG (SOF3) with a predictor, as small as one can be."""
    frame = struct.pack(">BHHB", 8, side, side, 3) + b"".join(bytes([i, 0x11, 0]) for i in b"RGB")
    table = b"\0" + bytes([1] + [0] * 15) + b"\0"
    return (
        b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, table) + segment(0xDA, b"\x03R\0G\0B\0\x01\0\0")
        + bytes(side * side * 3 // 8) + b"\xff\xd9"
    )  # fmt: skip


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(file, "JPEG", **options)
    return file.getvalue()


def with_marker(content: bytes, marker: int, bits: int = 8) -> bytes:
    """Replace the start-of-frame marker and the bits per sample of a baseline JPEG."""
    at = content.index(b"\xff\xc0")
    return content[: at + 1] + bytes([marker]) + content[at + 2 : at + 4] + bytes([bits]) + content[at + 5 :]


@pytest.mark.parametrize("side", [300, 400, 1000])
def test_a_lossless_jpeg_is_rejected_without_a_crash(side: int) -> None:
    """In a child: decoded at a smaller scale, it overflows a buffer of libjpeg-turbo and kills the process."""
    code = "import sys; from fruitscale.kernels import images; print(images.decode(sys.stdin.buffer.read(), 96))"
    done = subprocess.run([sys.executable, "-c", code], input=lossless(side), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"unsupported format" in done.stdout
    assert b"lossless JPEG" in done.stdout


@pytest.mark.parametrize(
    ("marker", "bits", "detail"),
    [
        pytest.param(0xC1, 12, "a JPEG of 12 bits per sample", id="12-bit"),
        pytest.param(0xC3, 8, "a lossless JPEG", id="lossless"),
        pytest.param(0xCB, 8, "a lossless JPEG", id="lossless-arithmetic"),
        pytest.param(0xC5, 8, "a hierarchical JPEG", id="hierarchical"),
    ],
)
def test_unsupported_frames_are_named(marker: int, bits: int, detail: str) -> None:
    found = images.decode(with_marker(jpeg(), marker, bits), 32)
    assert isinstance(found, Rejection)
    assert (found.reason, found.detail) == ("unsupported format", f"It is {detail}, which is not read.")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(300)}])
def test_the_frame_of_a_usual_jpeg(options: dict[str, object]) -> None:
    marker = 0xC2 if options.get("progressive") else 0xC0
    frame = jpeg_frame(jpeg(**options))
    assert frame is not None
    assert frame[:5] == (marker, 8, 40, 60, b"\x22\x11\x11")
    assert isinstance(images.decode(jpeg(**options), 32), np.ndarray)


@pytest.mark.parametrize("between", [b"\0\0\0", b"\xff", b"\x00\x12\xff\xff\xff"])
def test_a_frame_behind_stray_bytes_is_found(between: bytes) -> None:
    content = with_marker(jpeg(), 0xC3)
    frame = jpeg_frame(content[:2] + between + content[2:])
    assert frame is not None
    assert frame[:5] == (0xC3, 8, 40, 60, b"\x22\x11\x11")


def test_a_header_without_a_frame() -> None:
    for content in (b"\xff\xd8", b"\xff\xd8\xff\xd9", jpeg()[:30], b"\xff\xd8" + segment(0xDA, b"\0" * 10)):
        assert jpeg_frame(content) is None
        found = images.decode(content, 32)
        assert isinstance(found, Rejection)
        assert found.reason in ("truncated", "damaged")


@given(st.binary(max_size=400))
def test_any_bytes_end(content: bytes) -> None:
    frame = jpeg_frame(b"\xff\xd8" + content)
    assert frame is None or 0xC0 <= frame.marker <= 0xCF
