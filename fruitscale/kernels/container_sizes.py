"""Reads what Pillow's readers don't report before they allocate: a WebP's size, and whether a PNG's data is complete."""

from __future__ import annotations

import zlib

_PIECE, _MOST_BYTES = 1 << 16, 1 << 29


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height of a WebP's canvas; None if its first chunk is of no known kind."""
    kind, body = content[12:16], content[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def png_data_is_complete(content: bytes) -> bool:
    """Return whether the compressed pixels of a PNG are there to their end and their checksum."""
    stream, at, inflated = zlib.decompressobj(), 8, 0
    try:
        while at + 8 <= len(content):
            length = int.from_bytes(content[at : at + 4], "big")
            if content[at + 4 : at + 8] == b"IDAT":
                data = content[at + 8 : at + 8 + length]
                while data and not stream.eof and inflated < _MOST_BYTES:
                    inflated += len(stream.decompress(data, _PIECE))
                    data = stream.unconsumed_tail
            at += 12 + length
    except zlib.error:
        return False
    return stream.eof
