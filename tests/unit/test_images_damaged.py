"""images.decode of what is no photo, or no longer one: a reason each time, never an exception."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fruitscale.config.schema import Images
from fruitscale.kernels.images import Rejection, decode
from fruitscale.stages.memory import peak_rss_mb
from tests.unit.pictures import (
    FORMATS,
    REASONS,
    chunk,
    encode,
    ifd,
    picture,
    pixels,
    rejection,
    tiff,
)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_photo_is_rejected(kind: str, part: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    content = encode(noise, kind)

    reason = rejection(content[: int(len(content) * part)]).reason

    assert reason == "truncated" or (kind in ("TIFF", "GIF", "BMP") and reason == "damaged")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + ifd("<", (0x0112, 3, 1, 6))}])
def test_a_jpeg_cut_anywhere_is_truncated(options: dict[str, Any]) -> None:
    content = encode(picture(), "JPEG", **options)

    assert {rejection(content[:length]).reason for length in range(2, len(content))} == {"truncated"}


def test_a_jpeg_with_a_hole_is_damaged() -> None:
    content = bytearray(encode(picture(400, 400), "JPEG", quality=95))
    middle = len(content) // 2
    content[middle : middle + 400] = b"\xff\x10" * 200

    assert rejection(bytes(content)).reason == "damaged"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not an image"),
        (b"\0" * 5000, "not an image"),
        (b"\xff", "not an image"),
        (b"%PDF-1.7\n", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"P6 2 2 255 " + b"\0" * 12, "not an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "damaged"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "unsupported format"),
        (b"8BPS\0\x01", "unsupported format"),
        (b"\xff\xd8", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (tiff(np.zeros((9, 9), np.uint32), 1, ">"), "unsupported format"),
        (b"BM", "damaged"),
        (b"GIF89a", "damaged"),
        (b"II*\0\x08\0\0\0\0\0", "damaged"),
    ],
)
def test_what_is_no_photo(content: bytes, reason: str) -> None:
    assert rejection(content).reason == reason


@pytest.mark.parametrize("other", ["ICO", "PPM", "TGA", "PCX", "DDS", "SGI"])
def test_formats_that_pillow_knows_and_we_do_not_read(other: str) -> None:
    assert rejection(encode(Image.fromarray(picture(32, 32)), other)).reason == "not an image"


def png_bomb(side: int) -> bytes:
    """A valid header of side x side, and compressed zeros that go on for as long."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_bomb(side: int) -> bytes:
    content = bytearray(encode(picture(), "JPEG", progressive=True))  # else it is decoded at an eighth of the size
    frame = content.index(b"\xff\xc2") + 5
    content[frame : frame + 4] = struct.pack(">HH", side, side)
    return bytes(content)


def gif_bomb(side: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x08\x01\x00\x00\x3b"
    return b"GIF89a" + struct.pack("<HHBBB", side, side, 0xF0, 0, 0) + b"\0\0\0\xff\xff\xff" + frame


def bmp_bomb(side: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def tiff_bomb(side: int) -> bytes:
    content = tiff(np.zeros((9, 9), np.uint8), 1)
    for tag in (256, 257, 278):
        content = content.replace(struct.pack("<HHIHH", tag, 3, 1, 9, 0), struct.pack("<HHIHH", tag, 3, 1, side, 0))
    return content


def webp_bomb(side: int) -> bytes:
    content = bytearray(encode(Image.new("RGBA", (9, 9)), "WEBP", lossless=True))
    content[21:25] = struct.pack("<I", (side - 1) | ((side - 1) << 14) | (1 << 28))
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [png_bomb(30_000), jpeg_bomb(30_000), gif_bomb(30_000), bmp_bomb(30_000), tiff_bomb(30_000), webp_bomb(16_000)],
    ids=["png", "jpeg", "gif", "bmp", "tiff", "webp"],
)
def test_a_bomb_is_rejected_by_its_header(content: bytes) -> None:
    assert len(content) < 5000
    decode(content, 224)
    before = peak_rss_mb()

    found = rejection(content, 224)

    assert found.reason in ("too many pixels", "too many scans")
    assert peak_rss_mb() - before < 200  # its pixels need at least 768 MB


def test_the_limit_is_the_callers_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    assert isinstance(decode(encode(picture(), "PNG"), 32), np.ndarray)
    assert isinstance(decode(encode(picture(), "PNG"), 32, Images(max_pixels=120 * 90)), np.ndarray)
    for kind in set(FORMATS) - {"WEBP"}:  # Pillow's own limit is checked first there
        found = rejection(encode(picture(), kind), max_pixels=120 * 90 - 1)
        assert found.reason == "too many pixels"
        assert "10,800" in found.detail


def samples() -> Iterator[tuple[str, bytes]]:
    small = picture(40, 30)
    rgba = Image.fromarray(np.dstack([small, small[..., 0]]))
    exif = b"Exif\0\0" + ifd("<", (0x0112, 3, 1, 6))
    frames = [Image.fromarray(small).quantize(16), Image.fromarray(255 - small).quantize(16)]
    yield "jpeg", encode(small, "JPEG", exif=exif)
    yield "progressive jpeg", encode(small, "JPEG", progressive=True)
    yield "cmyk jpeg", encode(Image.fromarray(small).convert("CMYK"), "JPEG")
    yield "png", encode(rgba, "PNG", exif=exif)
    yield "palette png", encode(frames[0], "PNG", transparency=1)
    yield "16-bit png", encode(Image.fromarray(small[..., 0].astype(np.uint16) * 257), "PNG")
    yield "gif", encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "tiff", encode(small, "TIFF", exif=exif)
    yield "lzw tiff", encode(rgba, "TIFF", compression="tiff_lzw")
    yield "jpeg tiff", encode(small, "TIFF", compression="jpeg")
    yield "float tiff", encode(Image.fromarray(small[..., 0].astype(np.float32)), "TIFF")
    yield "webp", encode(small, "WEBP", exif=exif)
    yield "animated webp", encode(rgba, "WEBP", lossless=True, save_all=True, append_images=[rgba.rotate(90)])
    yield "bmp", encode(small, "BMP")
    yield "palette bmp", encode(frames[0], "BMP")


SAMPLES = dict(samples())


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file as disks, networks and people do: flipped bytes, holes, cuts, doubled and exchanged parts."""
    data = bytearray(content)
    start, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    match int(rng.integers(0, 6)):
        case 0:
            data[start:end] = b""
        case 1:
            data[start:end] = bytes(end - start)
        case 2:
            data[start:start] = data[start:end]
        case 3:
            del data[start:]
        case 4:
            head = min(len(data), 200)  # where the sizes, types and offsets are
            for at in rng.integers(0, head, int(rng.integers(1, 6))):
                data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(0, 256))]))
        case _:
            for at in rng.integers(0, len(data), int(rng.integers(1, 20))):
                data[at] = int(rng.integers(0, 256))
    return bytes(data)


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_files_never_raise(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng([7, list(SAMPLES).index(name)])
    for _ in range(300):
        content = SAMPLES[name]
        for _ in range(int(rng.integers(1, 3))):
            content = mutate(content, rng) or b"\0"
        result = decode(content, 32, Images(max_pixels=4_000_000))
        if isinstance(result, Rejection):
            rejection(content, 32, max_pixels=4_000_000)
        else:
            assert result.shape == (32, 32, 3)
    if "tiff" not in name:  # libtiff tells standard error about what it meets; nothing else prints
        assert capfd.readouterr() == ("", "")


MAGICS = sorted({content[:n] for content in SAMPLES.values() for n in (0, 2, 4, 12, 30)})


@settings(max_examples=400, deadline=None, database=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_random_bytes_never_raise(magic: bytes, rest: bytes) -> None:
    result = decode(magic + rest, 16, Images(max_pixels=1_000_000))

    assert isinstance(result, np.ndarray) or result.reason in REASONS


@settings(max_examples=300, deadline=None, database=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_overwritten_files_never_raise(name: str, data: st.DataObject) -> None:
    content = bytearray(SAMPLES[name])
    at = data.draw(st.integers(0, len(content) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=8))
    content[at : at + len(patch)] = patch
    result = decode(bytes(content), 16, Images(max_pixels=1_000_000))

    assert isinstance(result, np.ndarray) or result.reason in REASONS


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    contents = [SAMPLES["png"], SAMPLES["tiff"][:-9], SAMPLES["gif"]] * 40
    threads = [threading.Thread(target=lambda: [decode(c, 32) for c in contents]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert warnings.filters == before


def test_the_same_bytes_give_the_same_pixels_and_the_same_detail() -> None:
    for content in SAMPLES.values():
        assert np.array_equal(pixels(content), pixels(content))
        if isinstance(cut := decode(content[:-30], 64), Rejection):
            assert decode(content[:-30], 64) == cut
