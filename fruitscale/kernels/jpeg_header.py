"""Reads a JPEG's frame header, so that the decoder is only given frame types that it decodes safely at a smaller scale."""

from __future__ import annotations

from typing import NamedTuple

_TRANSFORMED = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Sequential and progressive frames (Huffman or arithmetic), which consist of 8 x 8 transforms."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers: the rest of the range are tables and a reserved one (ITU-T T.81, table B.1)."""
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA


class JpegFrame(NamedTuple):
    """The frame of a JPEG: its start-of-frame marker (0xC0 to 0xCF) and its bits per sample."""

    marker: int
    bits: int

    @property
    def unsupported(self) -> str | None:
        """Why the frame can't be decoded, in words; None if it can."""
        if self.marker in _LOSSLESS:
            return "a lossless JPEG"
        if self.marker not in _TRANSFORMED:
            return "a hierarchical JPEG"
        return None if self.bits == 8 else f"a JPEG of {self.bits} bits per sample"


def jpeg_frame(content: bytes) -> JpegFrame | None:
    """Return the first frame of a JPEG, or None if there is none before the first scan.

    Markers are found as libjpeg finds them: bytes between segments are skipped.
    """
    at = 2
    while True:
        at = content.find(b"\xff", at)
        if at < 0:
            return None
        while content[at : at + 1] == b"\xff":  # fill bytes may precede a marker
            at += 1
        if at >= len(content):
            return None
        marker = content[at]
        at += 1
        if marker == 0 or marker in _STANDALONE:
            continue
        if marker in (_END_OF_IMAGE, _START_OF_SCAN):
            return None
        if marker in _FRAMES:
            return JpegFrame(marker, content[at + 2]) if at + 2 < len(content) else None
        length = int.from_bytes(content[at : at + 2], "big")
        at += max(length, 2)
