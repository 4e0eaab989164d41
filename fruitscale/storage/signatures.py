"""Recognises photos by the first bytes of a file. Whether a photo can be decoded is for the kernels to find out."""

from __future__ import annotations

HEAD = 64
"""Bytes that are enough."""
_PHOTOS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"miaf"})
"""Brands of HEIF and AVIF; other files of this kind are videos."""
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_NO_STILL = frozenset({b"qt  ", b"isom", b"mp41", b"mp42"})


def is_photo(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a photo of a kind that fruitscale may read."""
    if head.startswith(_PHOTOS):
        return True
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    if head[:2] == b"BM":  # two letters are not enough: look at the header's size, too
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    if head[4:8] != b"ftyp" or head[8:12] in _NO_STILL:
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return any(head[i : i + 4] in _BRANDS for i in (8, *range(16, end, 4)))
