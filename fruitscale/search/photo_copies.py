"""Finds the copies of a photo in a run, under whatever names: equal features, or pictures that look the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Storage
from fruitscale.evaluation.overlap import copies
from fruitscale.kernels.images import Pixels
from fruitscale.runs import manifest
from fruitscale.runs.photo_lookup import LocatedPhoto, part_row
from fruitscale.runs.photos import PhotoPixels, read_pixels, why_unreadable
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.run_folder import FEATURES
from fruitscale.search.photo_features import decoded, locate_or_file, new_photo
from fruitscale.storage.residency import StorageAccess

SIDE = 32
"""Side of the squares that are compared."""
AT_ONCE = 4096
"""Photos of the run that are in memory together."""
ITSELF, EQUAL, ALIKE = "the photo itself", "equal features", "looks the same"


@dataclass(frozen=True)
class PhotoCopy:
    """A photo of the run that is the one asked about, or a copy; `why` it is taken for one."""

    path: str
    label: str | None
    why: str


@dataclass(frozen=True)
class PhotoCopies:
    """The copies of `photo` in a run, in order of path, the photo itself included; `notes` list what wasn't compared."""

    run: str
    photo: str
    copies: tuple[PhotoCopy, ...]
    notes: tuple[str, ...]


def copies_of(run: str, photo: str, storage: Storage | None = None, exported: str | None = None) -> PhotoCopies:
    """Return the photos of a complete run that are the same picture as `photo`: a path of the run, a file or s3:// URI.

    Photos are copies if their features are equal, or if their squares of 32 x 32 pixels differ by less than 2.5 grey levels
    (root mean square), as those of a photo that was compressed or resized again; for this, the run's photos are read again.
    Raises InputError if there is no such photo, ModelError if it is not in the run and the run's model is unavailable.
    """
    access = StorageAccess(storage)
    opened = open_complete(run, access)
    located = locate_or_file(opened, photo)
    found: dict[str, str] = {}
    notes: list[str] = []
    if located is not None:
        found[located.photo.path] = ITSELF
    features = _features(opened, photo, located, access, exported)
    for path in _equal(opened, features) if features is not None else ():
        found.setdefault(path, EQUAL)
    problem = why_unreadable(opened)
    if problem is None:
        for path in _alike(opened, photo, located, access, notes):
            found.setdefault(path, ALIKE)
    else:
        notes.append(f"copies that were compressed or resized again can't be found: {problem}")
    labels = _labels(opened, found)
    return PhotoCopies(run, photo, tuple(PhotoCopy(p, labels[p], found[p]) for p in sorted(found)), tuple(notes))


def _features(
    run: CompleteRun, photo: str, located: LocatedPhoto | None, access: StorageAccess, exported: str | None
) -> NDArray[np.float32] | None:
    """Return the photo's features (1, width), or None if it is a reject of the run."""
    if located is None:
        return new_photo(run, photo, access, exported).features
    found = part_row(run, FEATURES, located)
    return None if found is None else found.part.values[found.row : found.row + 1]


def _equal(run: CompleteRun, features: NDArray[np.float32]) -> Iterator[str]:
    for part in run.parts(FEATURES):
        for row in np.flatnonzero((part.values == features).all(axis=1)).tolist():
            yield part.paths[row]


def _alike(
    run: CompleteRun, photo: str, located: LocatedPhoto | None, access: StorageAccess, notes: list[str]
) -> Iterator[str]:
    """Yield the paths of photos that look the same; add to the notes how many could not be read."""
    own = _own_pixels(run, photo, located, access)
    if own is None:
        notes.append(
            f"{photo} can't be read again in {run.record.input.uri}, so copies that look the same can't be found"
        )
        return
    one = PhotoPixels(own[np.newaxis], np.ones(1, bool))
    paths: list[str] = manifest.read(run.store)["path"].to_pylist()
    missing = 0
    for start in range(0, len(paths), AT_ONCE):
        some = paths[start : start + AT_ONCE]
        pixels = read_pixels(run, some, SIDE, access)
        missing += pixels.missing
        yield from (some[row] for row, _ in copies(one, pixels))
    if missing:
        notes.append(f"{missing:,} of {len(paths):,} photos can't be read again, so their pictures were not compared")


def _own_pixels(run: CompleteRun, photo: str, located: LocatedPhoto | None, access: StorageAccess) -> Pixels | None:
    if located is None:
        return decoded(run, photo, SIDE, access)[0]
    read = read_pixels(run, [located.photo.path], SIDE, access)
    if read.missing:
        return None
    pixels: Pixels = read.values[0]
    return pixels


def _labels(run: CompleteRun, found: dict[str, str]) -> dict[str, str | None]:
    table = manifest.read(run.store)
    rows = zip(table["path"].to_pylist(), table["label"].to_pylist(), strict=True)
    return {path: label for path, label in rows if path in found}
