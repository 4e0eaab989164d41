"""The sample: photos chosen evenly by label and series, as lists that runs read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from fruitscale.config.schema import Config
from fruitscale.errors import InputError, UsageError
from fruitscale.storage.listing import Photo, list_photos
from fruitscale.tuning.series import recognise

MOST_LISTED = 200_000
"""Photos that a sample is chosen from: the first ones that the listing finds."""
TEST_SHARE = 1 / 3
"""The part of the sample that is test photos, if there is a folder of them."""


@dataclass(frozen=True)
class Sample:
    """Photos of one input, or of training and test photos, in an order whose beginning is itself a sample.

    `series` has the series of each photo by (number of its input, path); empty if none are known. `how` says what they are.
    """

    configs: tuple[Config, ...]
    chosen: tuple[Sequence[Photo], ...]
    series: Mapping[tuple[int, str], str]
    how: str

    @property
    def photos(self) -> int:
        """The number of photos."""
        return sum(map(len, self.chosen))

    def write_lists(self, photos: int, folder: Path) -> list[Path]:
        """Write a list of the first photos, one file per input, about `photos` in all."""
        lists = []
        for number, chosen in enumerate(self.chosen):
            lists.append(folder / f"{number}-{photos}.csv")
            _write_list(chosen[: -(-photos * len(chosen) // self.photos)], lists[-1])
        return lists


def take_sample(config: Config, test: Config | None, photos: int, pattern: str | None, seed: int) -> Sample:
    """Choose photos of a config's input, and of the test photos if there are some.

    Raises InputError if there are none, UsageError if `pattern` can't be used (see `series.recognise`).
    """
    listed = _list_some(config)
    if test is not None:
        if pattern is not None:
            raise UsageError("--series and --test exclude each other.", "Give one of them.")
        shares = ((config, 1 - TEST_SHARE), (test, TEST_SHARE))
        found = [listed, _list_some(test)]
        chosen = tuple(
            _choose(some, [photo.label for photo in some], round(photos * share), seed)
            for some, (_, share) in zip(found, shares, strict=True)
        )
        sides = {(side, photo.path): ("training", "test")[side] for side, some in enumerate(chosen) for photo in some}
        return Sample((config, test), chosen, sides, f"nearest training photos of the photos in {test.input.uri}")
    labels = [photo.label for photo in listed]
    split = recognise([photo.path for photo in listed], labels, pattern)
    names = split.names or ()
    kinds = list(zip(labels, names or labels, strict=True))
    series = {(0, photo.path): name for photo, name in zip(listed, names, strict=False)}
    return Sample((config,), (_choose(listed, kinds, photos, seed),), series, split.how)


def _list_some(config: Config) -> list[Photo]:
    """Return photos of a config's input in order of their paths."""
    found = sorted(islice(list_photos(config.input, config.storage), MOST_LISTED))
    if not found:
        raise InputError(f"There are no photos in {config.input.uri}.", "Check input.include and input.exclude.")
    return found


def _choose(photos: Sequence[Photo], kinds: Sequence[object], most: int, seed: int) -> list[Photo]:
    """Return at most `most` photos, equally many of each kind as far as there are, in seeded random order."""
    rng = np.random.default_rng((seed, len(photos)))
    members: dict[object, int] = {}
    order = []
    for at in rng.permutation(len(photos)).tolist():
        number = members[kinds[at]] = members.get(kinds[at], -1) + 1
        order.append((number, at))
    order.sort(key=lambda pair: pair[0])
    return [photos[at] for _, at in order[:most]]


def _write_list(photos: Iterable[Photo], path: Path) -> None:
    """Write photos with their labels, as `input.list` reads them."""
    rows = sorted(photos)
    columns = 2 if all(photo.label is not None for photo in rows) else 1
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label")[:columns])
        writer.writerows((photo.path, photo.label)[:columns] for photo in rows)
