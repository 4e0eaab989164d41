"""Rewrites a JPEG without the faults that every viewer overlooks, so that a strict decode finds only real damage.

libjpeg reports the first fault only. A file with a harmless one is therefore rewritten without it, and decoded strictly
again: what is still reported then is damage to the pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fruitscale.kernels.jpeg_header import (
    END_OF_IMAGE,
    FRAMES,
    STANDALONE,
    START_OF_SCAN,
    JpegFrame,
    jpeg_frame,
    next_marker,
)

_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
"""Huffman and arithmetic tables, quantization tables, the restart interval."""
_DROPPED = frozenset({*range(0xE0, 0xF0), 0xFE, 0xDC, 0xDE, 0xDF, 0x01})
"""Application segments, comments, and what applies to other kinds of frames."""
_JFIF, _ADOBE = 0xE0, 0xEE
_PLAIN_JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_END_OF_DATA = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""The next marker that ends entropy-coded data: no stuffed byte and no restart."""
_HOLE = bytes(64)


@dataclass
class JpegScans:
    """A JPEG taken apart: what precedes each scan's data, and the data."""

    frame: JpegFrame
    heads: list[bytes]
    data: list[bytes]

    def content(self) -> bytes:
        """Return the whole file."""
        parts = [part for pair in zip(self.heads, self.data, strict=True) for part in pair]
        return b"".join([b"\xff\xd8", *parts, b"\xff\xd9"])

    def shortened(self, scan: int, count: int) -> JpegScans:
        """Return a copy without the last bytes of a scan's data."""
        return self._with_data(scan, self.data[scan][:-count])

    def lost_only_stray_bytes(self, scan: int, whole: JpegScans) -> bool:
        """Return whether what was cut from a scan is not the rest of damaged data.

        That would have stuffed bytes (0xFF, 0), or a hole of zeros before or in it.
        """
        kept, before = self.data[scan], whole.data[scan]
        stray = before[len(kept) :]
        zeros = stray == bytes(len(stray)) and kept.endswith(bytes(4))
        return bool(kept) and b"\xff\0" not in stray and _HOLE not in kept and not zeros

    def with_flipped_bit(self, scan: int, bit: int) -> tuple[JpegScans, bool]:
        """Return a copy with one bit of a scan's last byte inverted, and the bit's value; bit 0 is the last."""
        data = self.data[scan]
        return self._with_data(scan, data[:-1] + bytes([data[-1] ^ (1 << bit)])), bool(data[-1] >> bit & 1)

    def _with_data(self, scan: int, data: bytes) -> JpegScans:
        return JpegScans(self.frame, self.heads, [*self.data[:scan], data, *self.data[scan + 1 :]])


def take_apart(content: bytes) -> JpegScans | None:
    """Return the scans of a JPEG's first image, without what no viewer minds; None if it can't be followed to its end.

    Left out: bytes between segments, application segments (but the colour conversion they state), invalid parameters of
    sequential scans.
    """
    frame = jpeg_frame(content)
    if frame is None:
        return None
    heads: list[bytes] = []
    data: list[bytes] = []
    pieces: list[bytes] = []
    at, frames = 2, 0
    while True:
        marker, at = next_marker(content, at)
        if marker == END_OF_IMAGE:
            return JpegScans(frame, heads, data) if heads and not pieces and frames == 1 else None
        if marker is None or not (marker in _TABLES | FRAMES | _DROPPED | STANDALONE or marker == START_OF_SCAN):
            return None
        if marker in STANDALONE:
            continue
        end = at + max(int.from_bytes(content[at : at + 2], "big"), 2)
        body = content[at + 2 : end]
        at = end
        frames += marker in FRAMES
        if marker != START_OF_SCAN:
            pieces += _kept(marker, body, len(frame.samplings))
            continue
        if (found := _END_OF_DATA.search(content, at)) is None:
            return None
        heads.append(b"".join([*pieces, _segment(marker, _valid_scan(body, frame))]))
        data.append(content[at : found.start()])
        pieces, at = [], found.start()


def _kept(marker: int, body: bytes, components: int) -> list[bytes]:
    """Return a segment as it is needed for decoding: nothing, or the segment."""
    if marker in _TABLES or marker in FRAMES:
        return [_segment(marker, body)]
    if marker == _JFIF and body.startswith(b"JFIF\0") and len(body) >= 14:
        return [_PLAIN_JFIF]
    if marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= 12:
        return [_segment(marker, body[:12] if body[11] <= 2 else body[:11] + (b"\2" if components == 4 else b"\1"))]
    return []


def _valid_scan(body: bytes, frame: JpegFrame) -> bytes:
    """Return a scan's header; that of a sequential frame always covers all coefficients."""
    return body if frame.progressive else body[:-3] + b"\0\x3f\0"


def _segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2, "big") + body
