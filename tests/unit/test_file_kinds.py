"""The true reason why a file is not read, by its content."""

from __future__ import annotations

import gzip
import struct

import pytest

from fruitscale.kernels.file_kinds import file_kind
from fruitscale.kernels.rejection import Rejection, described
from tests.unit.pictures import encode, picture, rejection, tiff


def iso(major: bytes, *compatible: bytes) -> bytes:
    body = major + b"\0\0\0\0" + b"".join(compatible)
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body + bytes(40)


def raw_tiff(*tags: tuple[int, int, int, int], after: bytes = b"") -> bytes:
    body = b"".join(struct.pack("<HHII", tag, kind, count, value) for tag, kind, count, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4) + after


NIKON = raw_tiff((0xFE, 4, 1, 1), (0x10F, 2, 18, 50), (0x14A, 4, 1, 400), after=b"NIKON CORPORATION\0")


@pytest.mark.parametrize(
    ("content", "reason", "named"),
    [
        pytest.param(b"\xff\x0a" + bytes(20), "unsupported format", "JPEG XL", id="jxl"),
        pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n", "unsupported format", "JPEG XL", id="jxl-container"),
        pytest.param(b"\0\0\0\x0cjP  \r\n\x87\n", "unsupported format", "JPEG 2000", id="jp2"),
        pytest.param(b"\xff\x4f\xff\x51\0\x2f", "unsupported format", "JPEG 2000", id="j2k"),
        pytest.param(iso(b"crx ", b"isom"), "unsupported format", "Canon RAW photo (CR3)", id="cr3"),
        pytest.param(b"II*\0\x10\0\0\0CR\x02\0", "unsupported format", "Canon RAW photo (CR2)", id="cr2"),
        pytest.param(raw_tiff((0xC612, 1, 4, 0x0401)), "unsupported format", "RAW photo (DNG)", id="dng"),
        pytest.param(NIKON, "unsupported format", "RAW photo (Nikon)", id="nef"),
        pytest.param(b"FUJIFILMCCD-RAW 0201", "unsupported format", "Fujifilm RAW photo (RAF)", id="raf"),
        pytest.param(b"IIRO\x08\0\0\0", "unsupported format", "Olympus RAW photo (ORF)", id="orf"),
        pytest.param(b"IIU\0\x08\0\0\0", "unsupported format", "Panasonic RAW photo (RW2)", id="rw2"),
        pytest.param(b"8BPS\0\x01", "unsupported format", "Photoshop", id="psd"),
        pytest.param(gzip.compress(encode(picture(), "JPEG")), "unsupported format", "packed with gzip", id="gzip"),
        pytest.param(b"PK\x03\x04" + bytes(40), "unsupported format", "packed with ZIP", id="zip"),
        pytest.param(bytes(257) + b"ustar\0" + bytes(300), "unsupported format", "packed with tar", id="tar"),
        pytest.param(b"7z\xbc\xaf'\x1c" + bytes(40), "unsupported format", "packed with 7-Zip", id="7z"),
        pytest.param(b"Rar!\x1a\x07\x01\0", "unsupported format", "packed with RAR", id="rar"),
        pytest.param(iso(b"qt  "), "a video", "'qt'", id="mov"),
        pytest.param(iso(b"isom", b"iso2", b"mp41"), "a video", "'isom'", id="mp4"),
        pytest.param(iso(b"mp42", b"isom"), "a video", "'mp42'", id="mp42"),
        pytest.param(iso(b"3gp4"), "a video", "'3gp4'", id="3gp"),
        pytest.param(b"\0\0\x10\0moov" + bytes(40), "a video", "QuickTime", id="old-mov"),
        pytest.param(b"RIFF\0\0\0\0AVI LIST", "a video", "AVI", id="avi"),
        pytest.param(b"\x1aE\xdf\xa3\x01\0", "a video", "WebM", id="webm"),
        pytest.param(b"", "empty", "no content", id="empty"),
        pytest.param(b"<svg xmlns=", "not an image", "<svg xml", id="svg"),
    ],
)
def test_what_is_not_read_is_named(content: bytes, reason: str, named: str) -> None:
    found = rejection(content)
    assert found.reason == reason
    assert named in found.detail


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (iso(b"heic", b"mif1", b"heic"), "HEIC"),
        (iso(b"mif1", b"heic"), "HEIC"),
        (iso(b"heix"), "HEIC"),
        (iso(b"msf1", b"hevc"), "HEIC"),
        (iso(b"avif", b"mif1", b"miaf"), "AVIF"),
        (iso(b"mif1", b"avif"), "AVIF"),
        (iso(b"avis"), "AVIF"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
    ],
)
def test_the_kind_of_what_is_read(content: bytes, kind: str) -> None:
    assert file_kind(content) == kind


def test_a_preview_only_tiff_is_still_a_tiff() -> None:
    assert file_kind(encode(picture(), "TIFF")) == "TIFF"
    assert file_kind(raw_tiff((0xFE, 4, 1, 1))) == "TIFF"


def test_an_unknown_compression_of_tiff_is_named() -> None:
    found = rejection(tiff_with_compression(34712))
    assert found.reason == "unsupported format"
    assert "34712" in found.detail


def tiff_with_compression(number: int) -> bytes:
    import numpy as np

    content = tiff(np.zeros((9, 9), np.uint8), 1)
    return content.replace(struct.pack("<HHIHH", 259, 3, 1, 1, 0), struct.pack("<HHIHH", 259, 3, 1, number, 0))


@pytest.mark.parametrize("error", [KeyError(6), ValueError("6"), ValueError(), IndexError("list index out of range")])
def test_no_detail_is_a_bare_number(error: Exception) -> None:
    assert described("JPEG", error).startswith(f"JPEG: its decoder stopped with {type(error).__name__}")


def test_reasons_are_the_same_for_any_cut() -> None:
    for content in (iso(b"heic"), iso(b"isom"), NIKON):
        for length in range(len(content)):
            assert isinstance(file_kind(content[:length]), str | Rejection)
