"""images.decode against Pillow: every format and mode, all orientations, and files that are damaged in every way."""

from __future__ import annotations

import io
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fruitscale.kernels.exif import jpeg_orientation
from fruitscale.kernels.images import Rejection, decode

Pixels = NDArray[np.uint8]
REASONS = {"empty", "not an image", "unsupported format", "too many pixels", "truncated", "damaged"}
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
    result = decode(content, size, **options)
    assert isinstance(result, np.ndarray), result
    assert result.shape == (size, size, 3)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable
    return result.astype(np.int16)


def rejection(content: bytes, size: int = 64, **options: Any) -> Rejection:
    result = decode(content, size, **options)
    assert isinstance(result, Rejection)
    assert result.reason in REASONS
    assert result.detail
    assert "\n" not in result.detail
    assert " at 0x" not in result.detail
    return result


def assert_close(got: NDArray[np.int16], want: NDArray[np.int16], mean: float = 1.5) -> None:
    assert np.abs(got - want).mean() <= mean


def lab() -> Image.Image:
    return Image.frombytes("LAB", (120, 90), picture().tobytes())


MODES: dict[str, tuple[str, Image.Image]] = {
    "jpeg": ("JPEG", Image.fromarray(picture())),
    "jpeg grey": ("JPEG", Image.fromarray(picture()).convert("L")),
    "jpeg cmyk": ("JPEG", Image.fromarray(picture()).convert("CMYK")),
    "png": ("PNG", Image.fromarray(picture())),
    "png grey": ("PNG", Image.fromarray(picture()).convert("L")),
    "png grey, alpha": ("PNG", Image.fromarray(picture()).convert("LA")),
    "png palette": ("PNG", Image.fromarray(picture()).quantize(64)),
    "png 1 bit": ("PNG", Image.fromarray(picture()).convert("1", dither=Image.Dither.NONE)),
    "webp": ("WEBP", Image.fromarray(picture())),
    "bmp": ("BMP", Image.fromarray(picture())),
    "bmp grey": ("BMP", Image.fromarray(picture()).convert("L")),
    "bmp palette": ("BMP", Image.fromarray(picture()).quantize(64)),
    "bmp 1 bit": ("BMP", Image.fromarray(picture()).convert("1", dither=Image.Dither.NONE)),
    "tiff": ("TIFF", Image.fromarray(picture())),
    "tiff 1 bit": ("TIFF", Image.fromarray(picture()).convert("1", dither=Image.Dither.NONE)),
    "tiff cmyk": ("TIFF", Image.fromarray(picture()).convert("CMYK")),
    "tiff lab": ("TIFF", lab()),
    "tiff palette": ("TIFF", Image.fromarray(picture()).quantize(64)),
    "gif": ("GIF", Image.fromarray(picture()).quantize(64)),
    "gif grey": ("GIF", Image.fromarray(picture()).convert("L")),
}


@pytest.mark.parametrize("size", [32, 100, 224])
@pytest.mark.parametrize("name", MODES)
def test_every_format_and_mode_agrees_with_pillow(name: str, size: int) -> None:
    kind, image = MODES[name]
    content = encode(image, kind)

    assert_close(pixels(content, size), expected(Image.open(io.BytesIO(content)), size))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiff_compressions(compression: str) -> None:
    content = encode(picture(), "TIFF", compression=compression)

    assert_close(pixels(content), expected(Image.open(io.BytesIO(content)), 64))


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"optimize": True}])
def test_jpeg_variants_decode_as_pillow_does_bit_for_bit(options: dict[str, Any]) -> None:
    content = encode(picture(100, 100), "JPEG", quality=90, **options)

    assert np.array_equal(pixels(content, 100), np.asarray(Image.open(io.BytesIO(content))))


def test_ycck_jpeg_of_adobe_is_read_as_pillow_does() -> None:
    content = bytearray(encode(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95))
    transform = content.index(b"Adobe") + 11
    assert content[transform] in (0, 2)
    content[transform] = 2  # the same numbers, now said to be YCCK

    assert_close(pixels(bytes(content)), expected(Image.open(io.BytesIO(content)), 64))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_becomes_white(kind: str) -> None:
    rgba = np.dstack([picture(), np.zeros((90, 120), np.uint8)])
    rgba[:, 60:, 3] = 255
    rgba[:, 50:60, 3] = 128
    content = encode(Image.fromarray(rgba), kind, **({"lossless": True} if kind == "WEBP" else {}))

    got = pixels(content, 60)

    assert (got[:, :24] == 255).all()
    assert_close(got, expected(Image.fromarray(rgba), 60))


@pytest.mark.parametrize(
    ("image", "transparency"),
    [
        (Image.fromarray(picture()).quantize(16), 3),
        (Image.fromarray(picture()).quantize(4), bytes([0, 90, 180, 255])),
        (Image.fromarray((picture()[..., 0] // 64) * 64), 64),
        (Image.fromarray((picture() // 128) * 128), (0, 0, 0)),
    ],
    ids=["palette index", "palette alphas", "grey", "rgb"],
)
def test_png_transparency_chunk(image: Image.Image, transparency: Any) -> None:
    content = encode(image, "PNG", transparency=transparency)

    got = pixels(content, 90)

    want = expected(Image.open(io.BytesIO(content)), 90)
    assert_close(got, want)
    assert (want == 255).all(axis=2).any()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_are_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)

    got = pixels(encode(Image.fromarray(ramp), kind))

    assert np.abs(got[..., 0] - ramp / 257).max() <= 0.5
    assert (got == got[..., :1]).all()


def tiff(values: NDArray[Any], sample_format: int, order: Literal["<", ">"] = "<") -> bytes:
    """A TIFF of one strip, by hand, for what Pillow doesn't write."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = [
        (256, values.shape[1]),
        (257, values.shape[0]),
        (258, values.dtype.itemsize * 8),
        (259, 1),
        (262, 1),
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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("dtype", "sample_format", "top"),
    [("u2", 1, 65535), ("i2", 2, 32767), ("u4", 1, 2**32 - 1), ("i4", 2, 2**31 - 1)],
)
def test_tiff_integers_are_scaled_by_the_range_of_their_type(
    dtype: str, sample_format: int, top: int, order: Literal["<", ">"]
) -> None:
    if dtype == "u4" and order == ">":
        pytest.skip("Pillow reads no unsigned 32-bit big-endian TIFF")
    ramp = np.linspace(0, top, 32 * 32).reshape(32, 32)

    got = pixels(tiff(ramp.astype(dtype), sample_format, order), 32)

    assert np.abs(got[..., 1] - ramp * (255 / top)).max() <= 0.51


def test_below_zero_is_black() -> None:
    got = pixels(tiff(np.array([[-32768, -1], [0, 32767]], dtype=np.int16), 2), 2)

    assert got[..., 0].tolist() == [[0, 0], [0, 255]]


@pytest.mark.parametrize(("top", "scale"), [(1.0, 255), (255.0, 1), (60000.0, 255 / 65535), (1e6, 255 / 1e6)])
def test_float_tiff_takes_the_smallest_range_that_holds_it(top: float, scale: float) -> None:
    ramp = np.linspace(0, top, 32 * 32, dtype=np.float32).reshape(32, 32)

    got = pixels(encode(Image.fromarray(ramp), "TIFF"), 32)

    assert np.abs(got[..., 2] - ramp * scale).max() <= 0.51


def test_floats_that_are_no_numbers_are_black() -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 1.0]], dtype=np.float32)

    assert pixels(encode(Image.fromarray(values), "TIFF"), 2)[..., 0].tolist() == [[0, 0], [0, 255]]


def test_16_bit_rgb_png_keeps_the_high_bytes() -> None:
    rows = b"".join(b"\0" + struct.pack(">6H", 0, 32768, 65535, 257, 4660, 51400) for _ in range(2))
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

    assert pixels(content, 2)[0].tolist() == [[0, 128, 255], [1, 18, 200]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:])

    assert np.abs(pixels(content, 20) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize("apply", [True, False])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(orientation: int, kind: str, apply: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(picture(), kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))) if apply else Image.fromarray(picture())

    assert_close(pixels(content, 64, exif_orientation=apply), expected(upright, 64), 2)


def exif_jpeg(tiff_block: bytes, before: bytes = b"") -> bytes:
    body = encode(picture(), "JPEG")
    block = b"Exif\0\0" + tiff_block
    return body[:2] + before + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + body[2:]


def ifd(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return head + b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries) + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("content", "orientation"),
    [
        (exif_jpeg(ifd("<", (0x010F, 3, 1, 7), (0x0112, 3, 1, 6))), 6),
        (exif_jpeg(ifd(">", (0x0112, 3, 1, 8))), 8),
        (exif_jpeg(ifd("<", (0x0112, 3, 1, 3)), before=b"\xff\xfe\x00\x06abcd\xff\xff\xff"), 3),
        (exif_jpeg(ifd("<", (0x0112, 3, 1, 9))), 1),
        (exif_jpeg(ifd("<", (0x0112, 3, 1, 0))), 1),
        (exif_jpeg(ifd("<", (0x0112, 4, 1, 6))), 1),
        (exif_jpeg(ifd("<", (0x010F, 3, 1, 6))), 1),
        (exif_jpeg(b"II*\0\xff\xff\xff\xff"), 1),
        (exif_jpeg(b"II*\0\x08\0\0\0\xff\xff"), 1),
        (exif_jpeg(b"XX*\0\x08\0\0\0"), 1),
        (exif_jpeg(b""), 1),
        (exif_jpeg(b"", before=b"\xff\xfe\x00\x08Exif\0\0"), 1),
        (encode(picture(), "JPEG") + b"Exif\0\0" + ifd("<", (0x0112, 3, 1, 6)), 1),
        (b"\xff\xd8Exif\0\0", 1),
        (b"\xff\xd8\xff", 1),
        (b"\xff\xd8\xff\xe1\xff", 1),
    ],
)
def test_orientation_of_crafted_exif(content: bytes, orientation: int) -> None:
    assert jpeg_orientation(content) == orientation


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_photo(kind: str) -> None:
    content = encode(picture(), kind, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")

    assert_close(pixels(content), expected(Image.fromarray(picture()), 64), 2)


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
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "unsupported format"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "unsupported format"),
        (b"8BPS\0\x01", "unsupported format"),
        (b"\xff\xd8", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
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


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int) -> bytes:
    """A valid header of side x side, and compressed zeros that go on for as long."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_bomb(side: int) -> bytes:
    content = bytearray(encode(picture(), "JPEG"))
    frame = content.index(b"\xff\xc0") + 5
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
    start = time.perf_counter()

    found = rejection(content, 224)

    assert time.perf_counter() - start < 0.1
    assert found.reason == "too many pixels"


def test_the_limit_is_the_callers_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    assert isinstance(decode(encode(picture(), "PNG"), 32), np.ndarray)
    assert isinstance(decode(encode(picture(), "PNG"), 32, max_pixels=120 * 90), np.ndarray)
    for kind in set(FORMATS) - {"WEBP"}:  # Pillow's own limit is checked first there
        found = rejection(encode(picture(), kind), max_pixels=120 * 90 - 1)
        assert found.reason == "too many pixels"
        assert "10,800" in found.detail


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (5, 400), (400, 5), (64, 64), (63, 65), (65, 63)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_extreme_shapes(shape: tuple[int, int], kind: str) -> None:
    content = encode(picture(*shape), kind)

    assert_close(pixels(content), expected(Image.open(io.BytesIO(content)), 64), 2)


def test_a_large_jpeg_is_close_to_a_full_decode() -> None:
    rng = np.random.default_rng(2)
    large = np.clip(picture(1600, 1200) + rng.normal(0, 6, (1200, 1600, 3)), 0, 255).astype(np.uint8)
    large[300:700, 400:900] = 255 - large[300:700, 400:900]
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        content = encode(large, "JPEG", quality=88, **options)
        for size in (96, 224, 384):
            assert_close(pixels(content, size), expected(Image.open(io.BytesIO(content)), size))


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
        result = decode(content, 32, max_pixels=4_000_000)
        if isinstance(result, Rejection):
            rejection(content, 32, max_pixels=4_000_000)
        else:
            assert result.shape == (32, 32, 3)
    if "tiff" not in name:  # libtiff tells standard error about what it meets; nothing else prints
        assert capfd.readouterr() == ("", "")


MAGICS = [b"", *{content[:n] for content in SAMPLES.values() for n in (2, 4, 12, 30)}]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_random_bytes_never_raise(magic: bytes, rest: bytes) -> None:
    result = decode(magic + rest, 16, max_pixels=1_000_000)

    assert isinstance(result, np.ndarray) or result.reason in REASONS


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_overwritten_files_never_raise(name: str, data: st.DataObject) -> None:
    content = bytearray(SAMPLES[name])
    at = data.draw(st.integers(0, len(content) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=8))
    content[at : at + len(patch)] = patch
    result = decode(bytes(content), 16, max_pixels=1_000_000)

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
