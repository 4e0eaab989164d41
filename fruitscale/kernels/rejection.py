"""Why a photo can't be used, and how a decoder's error becomes a reason that people understand."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOO_LARGE = re.compile(r"image size .*security limit|security limit.*(image size|pixels)")
"""What libheif says of an image, not of a file's structure."""


@dataclass(frozen=True)
class Rejection:
    """Why a photo can't be used: `reason` is one of a few fixed phrases, `detail` an explanation for people.

    Both are written to the rejects' parts, so changing a text changes the bytes of a run's output.
    """

    reason: str
    """empty, not an image, a video, unsupported format, too many pixels, too many scans, truncated or damaged."""
    detail: str


def rejected_by(kind: str, error: Exception) -> Rejection:
    """Return the Rejection for an exception of a decoder."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "decompression bomb" in text or _TOO_LARGE.search(text):
        reason = "too many pixels"
    elif re.search(r"unknown pixel mode|not (yet )?implemented|unsupported (codec|feature|image type)", text):
        reason = "unsupported format"
    else:
        cut = "truncated" in text or "premature end of" in text or "end of file" in text
        reason = "truncated" if cut else "damaged"
    return Rejection(reason, described(kind, error))


def described(kind: str, error: Exception) -> str:
    """Return an error as one short line that is the same in every process: without addresses of objects."""
    text = " ".join(re.sub(r" at 0x[0-9a-f]+", "", str(error)).split())
    if len(re.findall("[a-z]{2}", text)) < 2 or isinstance(error, LookupError):  # a bare number or key explains nothing
        text = f"its decoder stopped with {type(error).__name__}" + f" {text}" * bool(text)
    return f"{kind}: {text}"[:200]


def too_many_pixels(width: int, height: int, max_pixels: int) -> Rejection:
    """Return the Rejection of a photo above `images.max_pixels`."""
    return Rejection(
        "too many pixels",
        f"{width} x {height} is {width * height:,} pixels; up to {max_pixels:,} are decoded.",
    )
