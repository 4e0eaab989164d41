"""images.decode against Pillow: every format and mode, all orientations, every shape."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageOps

from fruitscale.kernels import images
from fruitscale.kernels.exif import jpeg_orientation
from fruitscale.kernels.images import resize
from tests.unit.pictures import (
    assert_close,
    chunk,
    encode,
    exif_jpeg,
    expected,
    ifd,
    picture,
    pixels,
    tiff,
)


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


@pytest.mark.parametrize(
    ("dtype", "sample_format", "top", "order"),
    [
        ("u2", 1, 65535, "<"),
        ("u2", 1, 65535, ">"),
        ("i2", 2, 32767, "<"),
        ("i2", 2, 32767, ">"),
        ("u4", 1, 2**32 - 1, "<"),
        ("i4", 2, 2**31 - 1, "<"),
        ("i4", 2, 2**31 - 1, ">"),
    ],
)
def test_tiff_integers_are_scaled_by_the_range_of_their_type(
    dtype: str, sample_format: int, top: int, order: Literal["<", ">"]
) -> None:
    ramp = np.linspace(0, top, 32 * 32).reshape(32, 32)

    got = pixels(tiff(ramp.astype(dtype), sample_format, order), 32)

    assert np.abs(got[..., 1] - ramp * (255 / top)).max() <= 0.51


@pytest.mark.parametrize(("dtype", "sample_format", "top"), [("u1", 1, 255), ("u2", 1, 2**16 - 1), ("f4", 3, 1)])
def test_tiffs_of_ink_are_inverted_at_every_depth(dtype: str, sample_format: int, top: int) -> None:
    """MinIsWhite: 0 is white."""
    ramp = np.linspace(0, top, 32 * 32).reshape(32, 32)

    got = pixels(tiff(ramp.astype(dtype), sample_format, photometric=0), 32)

    assert np.abs(255 - got[..., 1].astype(float) - ramp.astype(dtype) * (255 / top)).max() <= 0.51


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

    assert_close(pixels(content, 64, exif_orientation="apply" if apply else "ignore"), expected(upright, 64), 2)


@pytest.mark.parametrize(
    ("content", "orientation"),
    [
        (exif_jpeg(ifd("<", (0x010F, 3, 1, 7), (0x0112, 3, 1, 6))), 6),
        (exif_jpeg(ifd(">", (0x0112, 3, 1, 8))), 8),
        (exif_jpeg(ifd("<", (0x0112, 3, 1, 3)), before=b"\xff\xfe\x00\x06abcd\xff\xff\xff"), 3),
        (exif_jpeg(ifd("<", (0x0112, 3, 1, 9))), 1),
        (exif_jpeg(ifd("<", (0x0112, 3, 1, 0))), 1),
        (exif_jpeg(ifd("<", (0x0112, 4, 1, 6))), 6),  # LONG, which some writers use
        (exif_jpeg(ifd("<", (0x0112, 1, 1, 6))), 1),
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


def exif_entry(kind: int, count: int, value: bytes, order: str = "<") -> bytes:
    """An EXIF whose orientation has this type; a value of more than 4 bytes follows the directory."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, kind, count)
    if len(value) <= 4:
        return head + value.ljust(4, b"\0") + bytes(4)
    return head + struct.pack(f"{order}I", 26) + bytes(4) + value


@pytest.mark.filterwarnings("ignore:Metadata Warning")
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "count", "layout", "values"),
    [
        pytest.param(1, 1, "B", (6,), id="byte"),
        pytest.param(2, 2, "2s", (b"6",), id="text"),
        pytest.param(3, 1, "H", (6,), id="short"),
        pytest.param(3, 2, "HH", (6, 6), id="two-shorts"),
        pytest.param(4, 1, "I", (6,), id="long"),
        pytest.param(4, 1, "I", (60000,), id="large"),
        pytest.param(5, 1, "II", (6, 1), id="rational"),
        pytest.param(5, 1, "II", (6, 0), id="rational-of-0"),
        pytest.param(6, 1, "b", (6,), id="signed-byte"),
        pytest.param(8, 1, "h", (6,), id="signed-short"),
        pytest.param(8, 1, "h", (-6,), id="negative"),
        pytest.param(9, 1, "i", (6,), id="signed-long"),
        pytest.param(10, 1, "ii", (6, 1), id="signed-rational"),
        pytest.param(11, 1, "f", (6.0,), id="float"),
        pytest.param(12, 1, "d", (6.0,), id="double"),
    ],
)
def test_every_type_of_orientation_is_read_as_pillow_reads_it(
    order: str, kind: int, count: int, layout: str, values: tuple[Any, ...]
) -> None:
    block = exif_entry(kind, count, struct.pack(order + layout, *values), order)
    for content in (exif_jpeg(block), encode(picture(), "PNG", exif=block)):
        want = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        assert_close(pixels(content), expected(want, 64))


@pytest.mark.parametrize(
    ("width", "height", "size"), [(128, 128, 64), (600, 450, 64), (640, 480, 224), (1400, 1500, 224), (1100, 1100, 64)]
)
def test_fine_detail_at_a_smaller_scale_is_that_of_the_whole_photo(width: int, height: int, size: int) -> None:
    grains = np.random.default_rng(0).integers(64, 192, (height // 8, width // 8, 3), np.uint8)
    photo = Image.fromarray(grains).resize((width, height), Image.Resampling.BILINEAR)
    content = encode(photo, "JPEG", quality=95)
    whole = resize(np.asarray(Image.open(io.BytesIO(content))), size).astype(int)
    assert np.abs(pixels(content, size) - whole).mean() <= 1


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize(
    ("width", "height", "orientation"), [(400, 200, 1), (200, 400, 1), (400, 200, 6), (200, 200, 1)]
)
@pytest.mark.parametrize("fraction", [1.0, 0.875, 0.5])
def test_a_crop_keeps_the_middle_of_a_photo(
    kind: str, width: int, height: int, orientation: int, fraction: float
) -> None:
    """The shorter side is resized and the middle cut out, as Pillow does it."""
    down, across = np.mgrid[0:height, 0:width]
    pixels = np.stack([across * 255 / width, down * 255 / height, np.full((height, width), 90)], -1).astype(np.uint8)
    picture, content = Image.fromarray(pixels), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(content, kind, exif=exif, **({"quality": 98} if kind == "jpeg" else {}))
    got = images.decode(content.getvalue(), 64, crop=fraction)
    assert isinstance(got, np.ndarray)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content.getvalue())))
    side = round(200 * fraction)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    middle = upright.convert("RGB").crop((left, top, left + side, top + side))
    expected = np.asarray(middle.resize((64, 64), Image.Resampling.BOX), np.int16)
    assert got.shape == (64, 64, 3)
    assert np.abs(got.astype(np.int16) - expected).max() <= 3
