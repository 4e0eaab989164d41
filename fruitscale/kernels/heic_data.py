"""Finds holes in the compressed pixels of a HEIC, which its decoder conceals without an error.

HEVC never has the bytes 0, 0, 0 to 0, 0, 2 inside a unit, so a lost block that reads as zeros is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_IMPOSSIBLE = re.compile(rb"\0\0[\0-\2]")
_MOST_ITEMS, _MOST_EXTENTS = 1000, 32
"""Of a file, and of an item: libheif refuses more."""


def has_hole(content: bytes) -> bool:
    """Return whether the data of an HEVC image has bytes that an encoder can't have written."""
    try:
        places = list(_hevc_extents(content))
    except (IndexError, ValueError):  # unusual structure: the decoder judges it
        return False
    if sum(end - start for start, end in places) > 2 * len(content):  # crafted: the same bytes many times
        return False
    return any(_is_damaged(content[start:end]) for start, end in places if end <= len(content))


def is_cut_short(content: bytes) -> bool:
    """Return whether a HEIC or AVIF is shorter than its parts say."""
    at = 0
    while at < len(content):
        size, head = int.from_bytes(content[at : at + 4], "big"), content[at : at + 16]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0 or len(head) < 8:  # to the end of the file
            return len(head) < 8
        at += max(size, 8)
    return at > len(content)


def _is_damaged(data: bytes) -> bool:
    """Return whether units, each with its length before it, are not in sequence, or have impossible bytes."""
    at = 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if length == 0 or at + length > len(data) or _IMPOSSIBLE.search(data, at, at + length):
            return True
        at += length
    return False


def _hevc_extents(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the places of the data of HEVC images."""
    meta = next(((start, end) for kind, start, end in _boxes(content, 0, len(content)) if kind == b"meta"), None)
    if meta is None:
        return
    inside = {kind: (start, end) for kind, start, end in _boxes(content, meta[0] + 4, meta[1])}
    if b"iinf" not in inside or b"iloc" not in inside or not _has_long_lengths(content, *meta):
        return
    start, end = inside[b"iinf"]
    entries = start + (6 if content[start] == 0 else 8)
    hevc = set()
    for kind, at, _ in _boxes(content, entries, end):
        wide = content[at] == 3
        if kind == b"infe" and content[at + (10 if wide else 8) :][:4] == b"hvc1":
            hevc.add(int.from_bytes(content[at + 4 : at + (8 if wide else 6)], "big"))
    for item, place in _locations(content, inside[b"iloc"][0]):
        if item in hevc:
            yield place


def _has_long_lengths(content: bytes, start: int, end: int) -> bool:
    """Return whether every decoder configuration states that lengths have four bytes, as all known writers do."""
    at = content.find(b"hvcC", start, end)
    while at >= 0:
        if content[at + 4 + 21] & 3 != 3:
            return False
        at = content.find(b"hvcC", at + 4, end)
    return True


def _boxes(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and where its content starts and ends."""
    while at + 8 <= end:
        size, kind, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        if size == 0:
            size = end - at
        if size < head:
            raise ValueError("a box is smaller than its header")
        yield kind, at + head, min(at + size, end)
        at += size


def _locations(content: bytes, at: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the number of each item in the file, and where one of its extents starts and ends."""
    version, sizes = content[at], content[at + 4 : at + 6]
    offset_size, length_size, base_size, index_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4, sizes[1] & 15
    at += 6
    wide = 4 if version == 2 else 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(content[at - size : at], "big")

    for _ in range(_at_most(_MOST_ITEMS, number(wide))):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)  # the data is in this file
        base = number(base_size)
        for _ in range(_at_most(_MOST_EXTENTS, number(2))):
            if version:
                number(index_size)
            start = base + number(offset_size)
            length = number(length_size)
            if method == 0:
                yield item, (start, start + length)


def _at_most(most: int, count: int) -> int:
    if count > most:
        raise ValueError(f"{count} is more than {most}")
    return count
