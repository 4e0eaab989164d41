"""Finds test photos that are also in the training set, which makes accuracies too good."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from fruitscale.evaluation.vectors import LabelledFeatures

FRAME = re.compile(r"(?P<axis>(?:r\d*_)?)\d+(?P<size>_\d+)\.jpe?g|(?P<original>r\d+_)\d+\.jpe?g", re.IGNORECASE)
"""A frame of a fruit rotating before the camera, as Fruits-360 names them: 12_100.jpg, r_12_100.jpg, r0_12.jpg."""


def overlaps(train: LabelledFeatures, test: LabelledFeatures, *, hashed: bool) -> Iterator[str]:
    """Yield, in words, what train and test have in common. `hashed`: paths are hashed, so frames can't be compared."""
    known = {row.tobytes() for row in train.features}
    same = sum(row.tobytes() in known for row in test.features)
    if same:
        yield (
            f"{same:,} of {len(test.paths):,} test photos are in the training run too, picture for picture: "
            "recognising these proves nothing."
        )
    if hashed:
        yield "The paths are hashed, so frames of the same fruit in both runs can't be detected."
        return
    series = {key for path, label in zip(train.paths, train.labels, strict=True) if (key := series_of(path, label))}
    shared = [path for path, label in zip(test.paths, test.labels, strict=True) if series_of(path, label) in series]
    if shared:
        yield (
            f"{len(shared):,} of {len(test.paths):,} test photos are frames of the same turning fruit as training photos "
            f"(named like {PurePosixPath(shared[0]).name}): the accuracy shows how well that very fruit is recognised "
            "from another side, not how well another fruit of its kind would be."
        )


def series_of(path: str, label: str) -> tuple[str, ...] | None:
    """Return what all frames of one turning fruit have in common; None for a photo that isn't named as one."""
    match = FRAME.fullmatch(PurePosixPath(path).name)
    return match and (label, *(match[group] or "" for group in ("axis", "size", "original")))
