"""HEIC, AVIF and MPO: pixels, orientation, damage, and files that lie about their extension are no matter."""

from __future__ import annotations

import io
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from fruitscale.kernels import pillow_decoding
from fruitscale.kernels.images import decode_noting
from tests.unit.jpeg_files import after_jfif, segment
from tests.unit.pictures import Pixels, assert_close, encode, expected, picture, pixels, rejection

PICTURE = Image.fromarray(picture(400, 300))
NOISE = np.clip(picture(400, 300) + np.random.default_rng(1).normal(0, 15, (300, 400, 3)), 0, 255).astype(np.uint8)


def heic(image: Image.Image | Pixels, **options: object) -> bytes:
    """A HEIC as phones write it: an orientation in `exif` goes into the container too."""
    shown = Image.fromarray(image) if isinstance(image, np.ndarray) else image.copy()
    shown.info.update({key: options.pop(key) for key in ("exif", "xmp") if key in options})
    pillow_heif.register_heif_opener()
    return encode(shown, "HEIF", **options)


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def upright(orientation: int) -> Image.Image:
    tagged = Image.open(io.BytesIO(encode(PICTURE, "PNG", exif=oriented(orientation))))
    transposed = ImageOps.exif_transpose(tagged)
    assert transposed is not None
    return transposed


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_heic_is_applied_once(orientation: int) -> None:
    content = heic(PICTURE, exif=oriented(orientation))
    assert orientation == 1 or b"irot" in content or b"imir" in content
    assert_close(pixels(content, 200), expected(upright(orientation), 200))


def test_the_exif_of_heic_without_a_rotation_in_the_container_is_ignored() -> None:
    content = heic(PICTURE)
    exif = Image.Exif()
    exif[0x0112] = 6
    tagged = encode(PICTURE, "HEIF", exif=exif)  # an object writes the EXIF only
    assert b"irot" not in tagged
    assert b"Exif" in tagged
    assert np.array_equal(pixels(tagged, 200), pixels(content, 200))


@pytest.mark.parametrize("apply", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_avif_is_applied_once(orientation: int, apply: bool) -> None:
    content = encode(PICTURE, "AVIF", exif=oriented(orientation), quality=90)
    want = upright(orientation) if apply else PICTURE
    assert_close(pixels(content, 200, exif_orientation="apply" if apply else "ignore"), expected(want, 200))


@pytest.mark.parametrize(
    "image", [PICTURE.convert("L"), Image.fromarray(np.dstack([picture(400, 300), np.full((300, 400), 128, np.uint8)]))]
)
def test_grey_and_transparent(image: Image.Image) -> None:
    assert_close(pixels(heic(image, quality=90), 200), expected(image, 200))
    if image.mode == "RGBA":
        assert_close(pixels(encode(image, "AVIF", quality=90), 200), expected(image, 200))


def test_10_bits_become_8() -> None:
    deep = pillow_heif.from_bytes("RGB;16", (400, 300), (picture(400, 300).astype(np.uint16) * 257).tobytes())
    file = io.BytesIO()
    deep.save(file, quality=90)
    assert_close(pixels(file.getvalue(), 200), expected(PICTURE, 200))


@pytest.mark.slow
def test_a_grid_of_tiles() -> None:
    content = heic(np.tile(NOISE, (2, 2, 1)), tile_size=256, quality=90)
    assert_close(pixels(content, 200), expected(Image.fromarray(np.tile(NOISE, (2, 2, 1))), 200))


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_rejected(kind: str, part: float) -> None:
    content = heic(NOISE) if kind == "HEIC" else encode(NOISE, "AVIF")
    reason = rejection(content[: int(len(content) * part)]).reason
    assert reason == "truncated" or (part < 0.05 and reason == "damaged")


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_a_hole_in_heic_is_found_though_its_decoder_conceals_it(at: float) -> None:
    content = heic(NOISE, quality=80)
    start = int(len(content) * at)
    assert rejection(content[:start] + bytes(300) + content[start + 300 :]).reason == "damaged"
    assert rejection(content[:start] + bytes(len(content) - start)).reason == "damaged"


@pytest.mark.parametrize("kind", ["HEIC", "AVIF", "WEBP", "PNG"])
def test_what_takes_too_much_memory_is_refused(kind: str) -> None:
    content = heic(NOISE) if kind == "HEIC" else encode(NOISE, kind)
    found = rejection(content, max_decode_mb=1)
    assert found.reason == "too many pixels"
    assert "400 x 300" in found.detail
    assert "max_decode_mb is 1" in found.detail
    assert rejection(content, max_pixels=400 * 300 - 1).reason == "too many pixels"


def test_the_first_photo_of_mpo_and_motion_photos_and_ultra_hdr() -> None:
    other = Image.fromarray(255 - picture(400, 300))
    mpo = encode(PICTURE, "MPO", save_all=True, append_images=[other], exif=oriented(6))
    assert b"MPF\0" in mpo
    assert_close(pixels(mpo, 200), expected(upright(6), 200))
    photo = encode(PICTURE, "JPEG", quality=95)
    gain_map = after_jfif(photo, segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>'))
    for content in (photo + b"\0\0\0\x18ftypmp42" + bytes(5000), gain_map + encode(other, "JPEG")):
        assert_close(pixels(content, 200), expected(PICTURE, 200))
        assert decode_noting(content, 200)[1] is None


def test_a_jpeg_of_more_than_100_megapixels_is_read() -> None:
    side = np.linspace(0, 250, 12_000).astype(np.uint8)
    content = encode(Image.fromarray(np.broadcast_to(side, (9_000, 12_000)).copy()), "JPEG", quality=50)
    got = pixels(content, 64)
    assert_close(got, expected(Image.fromarray(np.broadcast_to(side[::20], (450, 600)).copy()), 64))
    assert rejection(content, max_pixels=100_000_000).reason == "too many pixels"


def test_a_png_that_lacks_only_its_end_mark() -> None:
    content = encode(PICTURE, "PNG")
    found, warning = decode_noting(content[:-12], 64)
    assert isinstance(found, np.ndarray)
    assert warning == "a PNG without its end mark"
    assert rejection(content[:-40]).reason == "truncated"


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
ELEMENT = XMP.replace(b'tiff:Orientation="6"/>', b"><tiff:Orientation>6</tiff:Orientation></rdf:Description>")


@pytest.mark.parametrize("packet", [XMP, ELEMENT, XMP.replace(b'"6"', b'"9"'), b"<x/>"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("exif", [0, 1, 3])
def test_orientation_of_xmp_follows_pillow(kind: str, packet: bytes, exif: int) -> None:
    options: dict[str, object] = {"exif": oriented(exif)} if exif else {}
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        options["pnginfo"] = info
    elif kind == "TIFF":
        options["tiffinfo"] = {700: packet, **({0x0112: exif} if exif else {})}
        options.pop("exif", None)
    else:
        options["xmp"] = packet
    content = encode(PICTURE, kind, **options)
    image = Image.open(io.BytesIO(content))
    want = ImageOps.exif_transpose(image)
    assert want is not None
    assert_close(pixels(content, 200), expected(want, 200))
    assert_close(pixels(content, 200, exif_orientation="ignore"), expected(PICTURE, 200), 2)


def test_a_heic_with_absurd_counts_is_judged_at_once() -> None:
    content = bytearray(heic(PICTURE))
    at = content.index(b"iloc") + 8
    content[at : at + 2] = b"\0\0"  # all numbers have no bytes
    content[at + 2 : at + 4] = b"\xff\xff"  # items
    content[at + 4 : at + 40] = b"\xff" * 36
    rejection(bytes(content))


def test_without_pillow_heif_the_photo_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic(PICTURE)
    pillow_decoding._heic_reader.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    found = rejection(content)
    assert found.reason == "unsupported format"
    assert "pillow_heif" in found.detail
