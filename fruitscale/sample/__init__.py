"""Draw a synthetic data set like Fruits-360: fruit on a white background, rotating from photo to photo.

Good for trying every part of fruitscale, but no guide to results on real fruit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fruitscale.errors import OutputError, UsageError
from fruitscale.sample.kinds import MAX_CLASSES, Kind, first_kinds

if TYPE_CHECKING:
    from fruitscale.sample.painter import Fruit

__all__ = ["SampleSet", "draw"]

_QUALITY = 90
MOST_FILES = 1_000_000
_PAGE = b"<!DOCTYPE html><html><head><title>404</title></head><body>The photo was not found.</body></html>\n"


@dataclass(frozen=True)
class SampleSet:
    """A drawn data set: `images` good photos and `corrupt` bad files, with a total size of `bytes`."""

    path: Path
    classes: int
    images: int
    corrupt: int
    bytes: int


def draw(out: Path, *, classes: int = 12, per_class: int = 60, seed: int = 0, corrupt: int = 0) -> SampleSet:
    """Draw photos into `out/<class>/`: JPEGs of 100 x 100 pixels, named as in Fruits-360.

    Two thirds of a class are `<n>_100.jpg`, the fruit rotating upright; the rest are `r_<n>_100.jpg`, lying on its side.
    The same seed gives the same bytes, and more classes leave the first ones unchanged. `corrupt` adds that many bad
    files named like photos (truncated, an HTML page, empty, noise, a pixel bomb). Raises UsageError for numbers out of
    range, OutputError if `out` is not empty or can't be written.
    """
    _check(classes, per_class, seed, corrupt)
    kinds = first_kinds(classes)
    try:
        _prepare(out)
        good = sum(_draw_class(out, kind, (seed, index), per_class) for index, kind in enumerate(kinds))
        bad = sum(_write_bad_file(out, kinds, number, per_class, seed) for number in range(corrupt))
    except OSError as error:
        raise OutputError(
            f"The sample can't be written to {out}: {error.strerror or error}.", "Choose another folder."
        ) from None
    return SampleSet(out, classes, classes * per_class, corrupt, good + bad)


def _check(classes: int, per_class: int, seed: int, corrupt: int) -> None:
    if not 1 <= classes <= MAX_CLASSES:
        raise UsageError(f"{classes} classes are out of range.", f"Use 1 to {MAX_CLASSES}, as many as Fruits-360 has.")
    if not 1 <= per_class <= MOST_FILES:
        raise UsageError(f"{per_class} photos per class are out of range.", f"Use 1 to {MOST_FILES:,}.")
    if seed < 0:
        raise UsageError(f"The seed {seed} is negative.", "Use 0 or more.")
    if not 0 <= corrupt <= MOST_FILES:
        raise UsageError(f"{corrupt} corrupt files are out of range.", f"Use 0 to {MOST_FILES:,}.")


def _prepare(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise OutputError(f"The folder {out} is not empty.", "Choose another folder, or delete this one.")


def _draw_class(out: Path, kind: Kind, seed: tuple[int, int], count: int) -> int:
    """Draw the photos of one class; return the number of bytes written."""
    from fruitscale.sample.painter import grow

    folder = out / kind.name
    folder.mkdir()
    fruit = grow(kind, np.random.default_rng(seed))
    return sum((folder / name).write_bytes(content) for name, content in _frames(fruit, seed, count))


def _frames(fruit: Fruit, seed: tuple[int, int], count: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each photo: a full turn upright, then one on its side."""
    import simplejpeg

    from fruitscale.sample.painter import photograph

    for view, (prefix, frames) in enumerate((("", count - count // 3), ("r_", count // 3))):
        for frame in range(frames):
            rng = np.random.default_rng((*seed, view, frame))
            photo = photograph(fruit, frame / frames, view == 0, rng)
            yield f"{prefix}{frame}_100.jpg", simplejpeg.encode_jpeg(photo, quality=_QUALITY, colorsubsampling="420")


def _write_bad_file(out: Path, kinds: list[Kind], number: int, per_class: int, seed: int) -> int:
    """Write one bad file beside the photos of a class; return its size in bytes."""
    folder = out / kinds[number % len(kinds)].name
    photo = (folder / "0_100.jpg").read_bytes()
    frame = photo.index(b"\xff\xc0") + 5  # the height and width fields of the JPEG header
    # The bomb is marked progressive, since all coefficients of such a photo are decoded; another would be decoded smaller.
    contents = (
        photo[: len(photo) // 2],
        _PAGE,
        b"",
        np.random.default_rng((seed, number)).bytes(2000),
        photo[: frame - 4] + b"\xc2" + photo[frame - 3 : frame] + (30_000).to_bytes(2, "big") * 2 + photo[frame + 4 :],
    )
    return (folder / f"{per_class + number}_100.jpg").write_bytes(contents[number % len(contents)])
