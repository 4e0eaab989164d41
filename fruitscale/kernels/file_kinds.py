"""Recognises a file by its first bytes: a format that is read, or the true reason why it can't be."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fruitscale.kernels.rejection import Rejection

READ = "JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF and GIF"
"""The formats that are read, in words."""
_MAGIC = {
    "JPEG": (b"\xff\xd8",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_UNREAD = {
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "JPEG XR": (b"II\xbc\x01", b"II\xbc\0"),
    "JPEG-LS or another JPEG without its first bytes": (b"\xff\xf7", b"\xff\xf8"),
    "Photoshop (PSD)": (b"8BPS",),
    "OpenEXR": (b"v/1\x01",),
    "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    "BPG": (b"BPG\xfb",),
    "QOI": (b"qoif",),
    "a Fujifilm RAW photo (RAF)": (b"FUJIFILMCCD-RAW",),
    "an Olympus RAW photo (ORF)": (b"IIRO", b"IIRS", b"MMOR"),
    "a Panasonic RAW photo (RW2)": (b"IIU\0",),
    "a Canon RAW photo (CRW)": (b"II\x1a\0\0\0HEAPCCDR",),
    "a Sigma RAW photo (X3F)": (b"FOVb",),
    "a Minolta RAW photo (MRW)": (b"\0MRM",),
}
_PACKED = {
    "gzip": (b"\x1f\x8b\x08",),
    "Zstandard": (b"\x28\xb5\x2f\xfd",),
    "bzip2": (b"BZh",),
    "xz": (b"\xfd7zXZ\0",),
    "ZIP": (b"PK\x03\x04",),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c",),
    "RAR": (b"Rar!\x1a\x07",),
}
_VIDEOS = {"Matroska or WebM": (b"\x1aE\xdf\xa3",), "Flash": (b"FLV\x01",)}
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_OTHER_STILLS = {
    b"crx ": "a Canon RAW photo (CR3)",
    b"jxl ": "JPEG XL",
    b"jp2 ": "JPEG 2000",
    b"j2ki": "JPEG 2000 in HEIF",
}
_MOVIE_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"pnot", b"skip", b"free"})
"""What a QuickTime file without a brand begins with."""
_DNG_VERSION, _SUBFILE_TYPE, _MAKE, _SUB_IFDS, _COMPRESSION = 0xC612, 0xFE, 0x10F, 0x14A, 0x103


def file_kind(content: bytes) -> str | Rejection:
    """Return the format by the first bytes, or a Rejection."""
    for kind, magic in _MAGIC.items():
        if content.startswith(magic):
            raw = _raw_photo(content) if kind == "TIFF" else None
            return _unread(raw) if raw else kind
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        return _iso_kind(content)
    return _not_read(content)


def _iso_kind(content: bytes) -> str | Rejection:
    """Return the format of an ISO base media file by its brands: the major one, then the compatible ones."""
    length = min(int.from_bytes(content[:4], "big"), 4096)
    brands = [content[8:12], *(content[at : at + 4] for at in range(16, min(length, len(content)) - 3, 4))]
    major = brands[0]
    if major in _OTHER_STILLS:
        return _unread(_OTHER_STILLS[major])
    if major in _AVIF_BRANDS or (major in _HEIF_BRANDS and not _AVIF_BRANDS.isdisjoint(brands)):
        return "AVIF"
    if not _HEIF_BRANDS.isdisjoint(brands):
        return "HEIC"
    return _video(f"QuickTime or MP4 (brand {major.decode('latin-1').strip()!r})")


def _not_read(content: bytes) -> Rejection:
    """Return why a file that is in no format that is read can't be used."""
    if not content:
        return Rejection("empty", "The file has no content.")
    packed = _name_of(content, _PACKED) or ("tar" if content[257:262] == b"ustar" else None)
    if packed:
        return Rejection("unsupported format", f"It is packed with {packed}; store it as {READ}.")
    video = _name_of(content, _VIDEOS) or ("QuickTime" if content[4:8] in _MOVIE_ATOMS else None)
    if video or (content.startswith(b"RIFF") and content[8:12] == b"AVI "):
        return _video(video or "AVI")
    unread = _name_of(content, _UNREAD)
    if unread:
        return _unread(unread)
    return Rejection("not an image", f"It begins with {content[:8]!r}, as no {READ.replace(' and ', ' or ')} does.")


def _name_of(content: bytes, magics: Mapping[str, tuple[bytes, ...]]) -> str | None:
    return next((name for name, magic in magics.items() if content.startswith(magic)), None)


def _unread(name: str) -> Rejection:
    return Rejection("unsupported format", f"It looks like {name}; {READ} are read.")


def _video(name: str) -> Rejection:
    return Rejection("a video", f"It is a video: {name}; {READ} are read.")


def _raw_photo(content: bytes) -> str | None:
    """Return the name of a camera's RAW format that is a TIFF, whose first page is only a small preview."""
    if content[8:10] == b"CR":
        return "a Canon RAW photo (CR2)"
    tags = _first_directory(content)
    if _DNG_VERSION in tags:
        return "a RAW photo (DNG)"
    if tags.get(_SUBFILE_TYPE, 0) & 1 and _SUB_IFDS in tags and _MAKE in tags:
        start = tags[_MAKE]
        make = content[start : start + 40].split(b"\0")[0].decode("ascii", "replace").strip()
        return f"a RAW photo ({make.split()[0].title()})" if make else "a RAW photo"
    return None


def tiff_compression(content: bytes) -> int:
    """Return the number of a TIFF's compression; 1 (none) if it isn't stated."""
    return _first_directory(content).get(_COMPRESSION, 1)


def _first_directory(content: bytes) -> dict[int, int]:
    """Return the values, or offsets of values, of the first directory of a classic TIFF; as far as it can be read."""
    order = "<" if content[:2] == b"II" else ">"
    tags: dict[int, int] = {}
    try:
        (at,) = struct.unpack_from(f"{order}I", content, 4)
        (entries,) = struct.unpack_from(f"{order}H", content, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", content, entry)
            (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), content, entry + 8)
    except struct.error:
        pass
    return tags
