"""Reads a run's photos again as small squares, to show or compare them; never for features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Images
from fruitscale.errors import FruitscaleError
from fruitscale.kernels import images
from fruitscale.runs import manifest
from fruitscale.runs.careful_decoder import CarefulDecoders
from fruitscale.runs.reader import CompleteRun
from fruitscale.storage.listing import Photo
from fruitscale.storage.read_ahead import ReadAhead
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import Store

READS = 8
T = TypeVar("T")


@dataclass(frozen=True)
class PhotoPixels:
    """Photos as uint8 RGB (n, size, size, 3). Those that can't be read are white; `readable` (n,) is false for them."""

    values: NDArray[np.uint8]
    readable: NDArray[np.bool_]

    @property
    def missing(self) -> int:
        """The number of photos that can't be read."""
        return int((~self.readable).sum())


def why_unreadable(run: CompleteRun) -> str | None:
    """Return why a run's photos can't be read again, or None if they may be."""
    if run.plan.features.get("output.paths") == "hashed":
        return "the run has hashes instead of paths"
    return None


def read_pixels(run: CompleteRun, paths: Sequence[str], size: int, access: StorageAccess) -> PhotoPixels:
    """Read these photos of a run from its input and stretch them to squares.

    A photo that is gone, has changed or can't be read is white, and counted. Raises ResidencyError if the input's bucket
    is outside the allowed regions.
    """
    values = np.full((len(paths), size, size, 3), 255, np.uint8)
    readable = np.zeros(len(paths), bool)
    for row, pixels in enumerate(read_each(run, paths, size, access, lambda _, pixels: pixels)):
        if pixels is not None:
            values[row], readable[row] = pixels, True
    return PhotoPixels(values, readable)


def read_each(
    run: CompleteRun,
    paths: Sequence[str],
    size: int,
    access: StorageAccess,
    take: Callable[[bytes, NDArray[np.uint8]], T],
) -> Iterator[T | None]:
    """Yield what `take` makes of each photo's content and square, in order; None for a photo that can't be read."""
    source, photos = access.open(run.record.input.uri), list(photos_of(run, paths))
    with closing(CarefulDecoders(photo.size for photo in photos)) as decoders:
        read = partial(_take, source, decoders, settings_of(run), size, take)
        for _, taken in ReadAhead(read, photos, READS):
            yield taken


def photos_of(run: CompleteRun, paths: Sequence[str]) -> Iterator[Photo]:
    """Yield the manifest's rows of these paths."""
    columns = manifest.read(run.store).to_pydict()
    photos = {row[0]: Photo(*row) for row in zip(*columns.values(), strict=True)}
    return (photos[path] for path in paths)


def settings_of(run: CompleteRun) -> Images:
    """Return how a run decodes photos."""
    return Images.model_validate(run.plan.config.get("images", {}))


def _take(
    source: Store,
    decoders: CarefulDecoders,
    settings: Images,
    size: int,
    take: Callable[[bytes, NDArray[np.uint8]], T],
    photo: Photo,
) -> T | None:
    if images.too_large(photo.size, settings) is not None:
        return None
    try:
        content = source.read(photo.path, photo.version)
    except FruitscaleError:
        return None
    pixels = decoders.decode(content, size, settings)
    return take(content, pixels) if isinstance(pixels, np.ndarray) else None
