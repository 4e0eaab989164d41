"""Reads a JPEG's frame header, so that the decoder is only given frame types that it decodes safely at a smaller scale."""

from __future__ import annotations

import struct
from typing import NamedTuple

_TRANSFORMED = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Sequential and progressive frames (Huffman or arithmetic), which consist of 8 x 8 transforms."""
_PROGRESSIVE = frozenset({0xC2, 0xCA})
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers: the rest of the range are tables and a reserved one (ITU-T T.81, table B.1)."""
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
_ENDS, _NOT_MARKERS = frozenset({None, END_OF_IMAGE, START_OF_SCAN}), frozenset({0, 0xFF})
_FRAME = struct.Struct(">BHHB")
"""Bits per sample, height, width, number of components."""
MOST_SCANS = 200
MOST_BLOCK_VISITS = 100_000_000
"""Blocks times scans: 4 seconds of work. A photo of 200 megapixels in 10 scans needs 47 million."""


class JpegFrame(NamedTuple):
    """The frame of a JPEG: its start-of-frame marker (0xC0 to 0xCF), bits per sample, size and sampling factors."""

    marker: int
    bits: int
    height: int
    width: int
    samplings: bytes
    """One byte per component: the horizontal factor times 16 plus the vertical one."""
    at: int
    """Where its components are in the file."""

    @property
    def unsupported(self) -> str | None:
        """Why the frame can't be decoded, in words; None if it can."""
        if self.marker in _LOSSLESS:
            return "a lossless JPEG"
        if self.marker not in _TRANSFORMED:
            return "a hierarchical JPEG"
        if self.bits != 8:
            return f"a JPEG of {self.bits} bits per sample"
        if len(self.samplings) not in (1, 3, 4):
            return f"a JPEG of {len(self.samplings)} components"
        return "a JPEG that states its height after its pixels (DNL)" if self.height == 0 else None

    @property
    def progressive(self) -> bool:
        """Whether the decoder visits the blocks once per scan."""
        return self.marker in _PROGRESSIVE

    @property
    def blocks(self) -> int:
        """The number of 8 x 8 blocks of all components."""
        widest = max((factor >> 4 for factor in self.samplings), default=1) or 1
        tallest = max((factor & 15 for factor in self.samplings), default=1) or 1
        across, down = -(-self.width // (8 * widest)), -(-self.height // (8 * tallest))
        return across * down * sum((factor >> 4) * (factor & 15) for factor in self.samplings)


def jpeg_frame(content: bytes) -> JpegFrame | None:
    """Return the first frame of a JPEG, or None if there is none before the first scan.

    Markers are found as libjpeg finds them: bytes between segments are skipped.
    """
    at, size = 2, len(content)
    while True:
        marker: int | None = content[at + 1] if at + 1 < size and content[at] == 0xFF else 0
        at += 2
        if marker in _NOT_MARKERS:
            marker, at = next_marker(content, at - 2)
        if marker in FRAMES:
            return _frame_at(content, marker, at)
        if marker in _ENDS:
            return None
        if marker not in STANDALONE:
            at += max(int.from_bytes(content[at : at + 2], "big"), 2)


def _frame_at(content: bytes, marker: int, at: int) -> JpegFrame | None:
    """Return the frame in a start-of-frame segment; None if it is cut off."""
    start = at + 2 + _FRAME.size
    if start > len(content):
        return None
    bits, height, width, components = _FRAME.unpack_from(content, at + 2)
    samplings = content[start + 1 : start + 3 * components : 3]
    complete = start + 3 * components <= len(content)
    return JpegFrame(marker, bits, height, width, samplings, start) if complete else None


def next_marker(content: bytes, at: int) -> tuple[int | None, int]:
    """Return the next marker from `at` on, and where its segment begins; None at the end of the file."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0:
            return None, len(content)
        while content[at : at + 1] == b"\xff":  # fill bytes may precede a marker
            at += 1
        if at >= len(content):
            return None, at
        if content[at] != 0:
            return content[at], at + 1
        at += 1


def too_many_scans(content: bytes, frame: JpegFrame) -> int | None:
    """Return the number of scans of a progressive JPEG if decoding them takes too long.

    A scan of a few bytes can cover the whole photo, so the work is not bounded by the size of the file.
    """
    if not frame.progressive:
        return None
    scans = content.count(b"\xff\xda")  # at least as many as there are: thumbnails and other photos have theirs
    if scans <= MOST_SCANS and scans * frame.blocks <= MOST_BLOCK_VISITS:
        return None
    scans = _scans_of_first_image(content)
    return scans if scans > MOST_SCANS or scans * frame.blocks > MOST_BLOCK_VISITS else None


def _scans_of_first_image(content: bytes) -> int:
    at, scans = 2, 0
    while True:
        marker, at = next_marker(content, at)
        if marker in STANDALONE:
            continue
        if marker in (None, END_OF_IMAGE):
            return scans
        scans += marker == START_OF_SCAN
        at += max(int.from_bytes(content[at : at + 2], "big"), 2)


def is_cut_off(content: bytes) -> bool:
    """Return whether a JPEG's first image has no end: a trailer, as of a motion photo, may follow the end."""
    at = 2
    while True:
        marker, at = next_marker(content, at)
        if marker in STANDALONE:
            continue
        if marker in (None, END_OF_IMAGE):
            return marker is None
        if marker == START_OF_SCAN:
            return content.find(b"\xff\xd9", at) < 0
        at += max(int.from_bytes(content[at : at + 2], "big"), 2)
