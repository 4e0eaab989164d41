"""Says which photos are bad by their measures: blurred, dark, light, without contrast, empty, of an odd size or shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fruitscale.inspection.limits import InspectionLimits
from fruitscale.inspection.neighbourhoods import robust_scores
from fruitscale.inspection.photo_readings import PhotoReading


class Fault(NamedTuple):
    """What is wrong with the photo in a row, its measure, and the same in words."""

    kind: str
    row: int
    value: float
    words: str


def faults(
    photos: Sequence[PhotoReading | None], labels: Sequence[str | None], limits: InspectionLimits
) -> Iterator[Fault]:
    """Yield the faults of all photos that were read. A photo that is dark, light or empty is not called blurred, too."""
    read = [(row, photo) for row, photo in enumerate(photos) if photo is not None]
    if not read:
        return
    plain: set[int] = set()
    for row, photo in read:
        for fault in _of_pixels(row, photo, limits):
            plain.add(row)
            yield fault
    # relative to contrast, so that a photo isn't blurred because it is pale
    sharpness = [photo.measures.sharpness / max(photo.measures.contrast, 0.01) ** 2 for _, photo in read]
    scores = robust_scores(np.array(sharpness), [labels[row] for row, _ in read])
    for (row, _), score in zip(read, scores, strict=True):
        if score < -limits.blur_score and row not in plain:
            yield Fault("blurred", row, -score, f"{-score:.1f} deviations less sharp than its label")
    yield from _of_sizes([(row, photo.sides) for row, photo in read if photo.sides is not None], limits)


def _of_pixels(row: int, photo: PhotoReading, limits: InspectionLimits) -> Iterator[Fault]:
    found = photo.measures
    if found.bright < limits.dark:
        yield Fault("dark", row, found.bright, f"99% of its pixels are darker than {found.bright:.0%}")
    if found.dim > limits.light:
        yield Fault("light", row, found.dim, f"95% of its pixels are lighter than {found.dim:.0%}")
    if found.contrast < limits.contrast:
        yield Fault("low_contrast", row, found.contrast, f"its greys span {found.contrast:.1%} of the range")
    if found.entropy < limits.empty_bits:
        yield Fault("nearly_empty", row, found.entropy, f"{found.entropy:.1f} bits of information per pixel")


def _of_sizes(sides: Sequence[tuple[int, tuple[int, int]]], limits: InspectionLimits) -> Iterator[Fault]:
    lengths = [(width * height) ** 0.5 for _, (width, height) in sides]
    middle = float(np.median(lengths)) if lengths else 0.0
    for (row, (width, height)), length in zip(sides, lengths, strict=True):
        if not width or not height:
            continue
        factor = max(length / middle, middle / length)
        if factor > limits.size_factor:
            yield Fault("odd_size", row, factor, f"{width} x {height} pixels; the median side is {middle:.0f}")
        aspect = min(width / height, height / width)
        if aspect < limits.aspect:
            yield Fault(
                "odd_aspect", row, aspect, f"{width} x {height} pixels: one side is {1 / aspect:.1f} times the other"
            )
