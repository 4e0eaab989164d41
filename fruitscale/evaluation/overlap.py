"""Finds test photos that are also in the training set, which makes accuracies too good."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fruitscale.evaluation.vectors import LabelledFeatures
from fruitscale.runs.photos import PhotoPixels

FRAME = re.compile(r"(?P<axis>(?:r\d*_)?)\d+(?P<size>_\d+)\.jpe?g|(?P<original>r\d+_)\d+\.jpe?g", re.IGNORECASE)
"""A frame of a fruit rotating before the camera, as Fruits-360 names them: 12_100.jpg, r_12_100.jpg, r0_12.jpg."""

MOST_RMS = 2.5
"""Grey levels: of re-encoded copies, 94 % differ by less at 32 x 32 pixels, and 0.6 % of other pairs do."""
POOL, ROWS, SHOWN = 4, 256, 2


def overlaps(
    train: LabelledFeatures, test: LabelledFeatures, alike: Sequence[tuple[int, int]], *, hashed: bool
) -> Iterator[str]:
    """Yield, in words, what train and test have in common.

    `alike` are the `copies`; `hashed`: paths are hashed, so frames can't be compared.
    """
    known = {row.tobytes() for row in train.features}
    same = {row for row, features in enumerate(test.features) if features.tobytes() in known}
    if same:
        yield (
            f"{len(same):,} of {len(test.paths):,} test photos are in the training run too, picture for picture: "
            "recognising these proves nothing."
        )
    again = [pair for pair in alike if pair[0] not in same]
    if again:
        shown = "; ".join(f"{test.paths[row]} and {train.paths[of]}" for row, of in again[:SHOWN])
        yield (
            f"{len(again):,} of {len(test.paths):,} test photos look the same as a training photo, as one does that was "
            f"compressed or resized again ({shown}{'; …' if len(again) > SHOWN else ''}): recognising these proves nothing."
        )
    if hashed:
        yield "The paths are hashed, so frames of the same fruit in both runs can't be detected."
        return
    series = {key for path, label in zip(train.paths, train.labels, strict=True) if (key := series_of(path, label))}
    shared = [path for path, label in zip(test.paths, test.labels, strict=True) if series_of(path, label) in series]
    if shared:
        yield (
            f"{len(shared):,} of {len(test.paths):,} test photos may, by their names, be frames of the same turning fruit "
            f"as training photos (named like {PurePosixPath(shared[0]).name}). If they are, the accuracy shows how well "
            "that very fruit is recognised from another side, not how well another fruit of its kind would be."
        )


def copies(train: PhotoPixels, test: PhotoPixels) -> list[tuple[int, int]]:
    """Return the rows of test photos that look like a training photo, each with the row of the nearest one.

    Their squares differ by less than 2.5 grey levels (root mean square): the same photo, compressed or resized again.
    """
    of, rows = _pooled(train.values), np.flatnonzero(test.readable)
    lengths = np.where(train.readable, (of * of).sum(axis=1), np.inf)
    found = []
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        values = _pooled(test.values[some])
        # The distance of means is never more than that of the pixels; the tolerance is for float32
        near = (
            lengths + (values * values).sum(axis=1)[:, np.newaxis] - 2 * values @ of.T < MOST_RMS**2 * of.shape[1] + 1e2
        )
        for row, candidates in zip(some, near, strict=True):
            if (at := np.flatnonzero(candidates)).size:
                apart = train.values[at].astype(np.float32) - test.values[row]
                rms = np.sqrt((apart * apart).mean(axis=(1, 2, 3)))
                if rms.min() < MOST_RMS:
                    found.append((int(row), int(at[rms.argmin()])))
    return found


def _pooled(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the means of 4 x 4 pixels around mid-grey, as rows: a sixteenth of the numbers to compare."""
    n, side = len(values), values.shape[1] // POOL
    means: NDArray[np.float32] = values.reshape(n, side, POOL, side, POOL, 3).mean(axis=(2, 4), dtype=np.float32)
    return (means - np.float32(128)).reshape(n, -1)


def series_of(path: str, label: str) -> tuple[str, ...] | None:
    """Return what all frames of one turning fruit have in common; None for a photo that isn't named as one."""
    match = FRAME.fullmatch(PurePosixPath(path).name)
    return match and (label, *(match[group] or "" for group in ("axis", "size", "original")))
