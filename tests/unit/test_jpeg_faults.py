"""JPEGs that every viewer shows are read, with a warning; damaged ones are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fruitscale.config.schema import Images
from fruitscale.kernels.images import Rejection, decode_noting, resize
from tests.unit.jpeg_files import Sampling, after_jfif, before_end, data_start, many_scans, sampled, segment
from tests.unit.pictures import Pixels, encode, picture, rejection

PHOTO = encode(picture(400, 300), "JPEG", quality=90)
PROGRESSIVE = encode(picture(400, 300), "JPEG", quality=90, progressive=True)
TRAILER = b"\0\0\0\x18ftypmp42" + bytes(100)


def icc(number: int, count: int) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + bytes(50))


def replaced(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def by_pillow(content: bytes, size: int) -> Pixels:
    image = Image.open(io.BytesIO(content))
    image.load()
    return resize(np.asarray(image.convert("RGB")), size)


def second_table(content: bytes) -> int:
    """Where the tables after the first scan begin."""
    return content.index(b"\xff\xc4", content.index(b"\xff\xda"))


SCAN = data_start(PHOTO)
BETWEEN = second_table(PROGRESSIVE)


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        pytest.param(replaced(PHOTO, SCAN - 3, b"\0\0\0"), "invalid parameters", id="samsung-sos"),
        pytest.param(after_jfif(PHOTO, b"\0\1\2\3"), "stray bytes", id="between-segments"),
        pytest.param(after_jfif(PHOTO, icc(3, 2)), "colour profile", id="icc-number"),
        pytest.param(after_jfif(PHOTO, icc(0, 1)), "colour profile", id="icc-zero"),
        pytest.param(after_jfif(PHOTO, icc(1, 2)), "colour profile", id="icc-missing"),
        pytest.param(after_jfif(PHOTO, icc(1, 2) * 2), "colour profile", id="icc-twice"),
        pytest.param(replaced(PHOTO, 11, b"\x09"), "JFIF revision", id="jfif-9"),
        pytest.param(after_jfif(PHOTO, b"\xff\xe1\0\x10" + bytes(30)), "stray bytes", id="appn-too-short"),
        pytest.param(after_jfif(PHOTO, b"\xff\xe5\0\0" + bytes(30)), "stray bytes", id="appn-zero"),
        pytest.param(PHOTO[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\7") + PHOTO[20:], "transform", id="adobe"),
        *(
            pytest.param(before_end(PHOTO, (byte * n)[:n]), "stray bytes", id=f"{n}-of-{byte[:4]!r}")
            for n in (7, 16, 3000)
            for byte in (b"\0", b"\x7f", b"Made by a camera. ", bytes(range(1, 250)))
        ),
        pytest.param(before_end(PROGRESSIVE, b"x" * 40), "stray bytes", id="progressive-end"),
        pytest.param(
            PROGRESSIVE[:BETWEEN] + bytes(40) + PROGRESSIVE[BETWEEN:], "stray bytes", id="progressive-between"
        ),
        pytest.param(
            after_jfif(before_end(replaced(PHOTO, SCAN - 3, b"\0\0\0"), bytes(20)), icc(1, 2)), "profile", id="several"
        ),
    ],
)
def test_a_harmless_fault_is_a_warning(content: bytes, warning: str) -> None:
    pixels, found = decode_noting(content, 224)
    assert isinstance(pixels, np.ndarray), pixels
    assert found is not None
    assert warning in found
    assert np.abs(pixels.astype(int) - by_pillow(PHOTO, 224)).mean() < 1


def test_a_sound_photo_has_no_warning() -> None:
    for content in (PHOTO, PROGRESSIVE, PHOTO + TRAILER, PHOTO + PHOTO):
        assert decode_noting(content, 96)[1] is None


@pytest.mark.parametrize(
    "sampling",
    [
        ((4, 2), (1, 1), (1, 1)),
        ((1, 3), (1, 1), (1, 1)),
        ((3, 1), (1, 1), (1, 1)),
        ((2, 1), (1, 1), (2, 1)),
        ((2, 2), (1, 1), (2, 2)),
        ((1, 1), (2, 2), (2, 2)),
        ((2, 1), (1, 2), (1, 1)),
        ((4, 4), (1, 1), (1, 1)),
    ],
)
def test_rare_subsamplings_are_read_as_pillow_reads_them(sampling: Sampling) -> None:
    content = sampled(picture(401, 303), sampling)
    pixels, warning = decode_noting(content, 96)
    assert isinstance(pixels, np.ndarray), pixels
    assert warning == "a rare chroma subsampling"
    assert np.abs(pixels.astype(int) - by_pillow(content, 96)).mean() < 1


@pytest.mark.parametrize("sampling", [((2, 2), (1, 1), (1, 1), (2, 2)), ((2, 2), (1, 1), (1, 1), (1, 1))])
def test_subsamplings_of_cmyk(sampling: Sampling) -> None:
    content = sampled(picture(401, 303), sampling, "CMYK")
    pixels, _ = decode_noting(content, 96)
    assert isinstance(pixels, np.ndarray), pixels
    assert np.abs(pixels.astype(int) - by_pillow(content, 96)).mean() < 1


def burst(content: bytes) -> bytes:
    return replaced(content, SCAN + 1500, b"\x5a" * 10)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(burst(PHOTO), "damaged", id="burst"),
        pytest.param(burst(PHOTO) + TRAILER, "damaged", id="burst-with-trailer"),
        pytest.param(burst(after_jfif(PHOTO, icc(1, 2))), "damaged", id="burst-behind-a-bad-profile"),
        pytest.param(burst(replaced(PHOTO, SCAN - 3, b"\0\0\0")), "damaged", id="burst-behind-samsung"),
        pytest.param(PHOTO[: len(PHOTO) // 2], "truncated", id="half"),
        pytest.param(after_jfif(PHOTO, icc(1, 2))[: len(PHOTO) // 2], "truncated", id="half-behind-a-bad-profile"),
        pytest.param(PHOTO[: len(PHOTO) // 2] + b"\xff\xd9", "damaged", id="half-with-an-end"),
        pytest.param(PHOTO[: len(PHOTO) // 2] + bytes(len(PHOTO) // 2), "truncated", id="half-zeros"),
        pytest.param(
            before_end(PHOTO[: len(PHOTO) // 2] + b"\xff\xd9", bytes(len(PHOTO) // 2)), "damaged", id="half-zeros-end"
        ),
        pytest.param(before_end(PHOTO, b"\x12\xff\0" * 9), "damaged", id="left-over-data"),
    ],
)
def test_real_damage_is_a_reject(content: bytes, reason: str) -> None:
    assert rejection(content, 224).reason == reason


def test_missing_restart_data_is_damage() -> None:
    content = encode(picture(400, 300), "JPEG", restart_marker_rows=1)
    first = content.index(b"\xff\xd1")
    assert rejection(content[: first - 40] + content[first:]).reason == "damaged"
    assert rejection(content[: content.index(b"\xff\xd0")] + content[first:]).reason == "damaged"


def test_too_many_scans_are_refused_before_the_work() -> None:
    found = rejection(many_scans(picture(400, 300), 500))
    assert found.reason == "too many scans"
    assert "up to 200" in found.detail
    assert not isinstance(decode_noting(PROGRESSIVE + PROGRESSIVE * 30, 96)[0], Rejection)  # other photos' scans


def test_a_progressive_photo_with_a_huge_frame_is_refused() -> None:
    at = PROGRESSIVE.index(b"\xff\xc2") + 5
    found = rejection(replaced(PROGRESSIVE, at, b"\xff\xff\xff\xff"), 224)
    assert found.reason in ("too many pixels", "too many scans")


def test_the_second_reader_keeps_to_the_limit() -> None:
    content = sampled(picture(1601, 1203), ((3, 1), (1, 1), (1, 1)))
    found = decode_noting(content, 96, Images(max_decode_mb=10))[0]
    assert isinstance(found, Rejection)
    assert found.reason == "too many pixels"
