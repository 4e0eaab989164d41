"""Which photos belong to one shooting series: frames of one turning fruit, or of one video, must not be on both sides."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fruitscale.errors import UsageError

DIGITS = re.compile(r"\d+")
LEAST_FRAMES = 5
"""A series has at least this many photos on average, or the names are not those of series."""


@dataclass(frozen=True)
class SeriesSplit:
    """The series of each photo, None if no series can be recognised; `how` says so, or why not."""

    names: tuple[str, ...] | None
    how: str


def recognise(paths: Sequence[str], labels: Sequence[str | None], pattern: str | None = None) -> SeriesSplit:
    """Recognise shooting series by the names of the photos.

    A name without its frame number is the name of its series: `r_105_100.jpg` is frame 105 of series `r_#_100`. The frame
    number is the number that varies most among the names of one shape. With `pattern`, a regular expression, the text that
    it matches in a path is the series. Raises UsageError if it is no regular expression, or does not match every path.
    """
    if pattern is not None:
        return SeriesSplit(_matches(paths, pattern), f"nearest photos of another series, by --series {pattern}")
    names = _names(paths)
    if None in labels:
        return SeriesSplit(None, "the photos have no labels")
    series: dict[str | None, set[str]] = defaultdict(set)
    for name, label in zip(names, labels, strict=True):
        series[label].add(name)
    if len(names) < LEAST_FRAMES * sum(map(len, series.values())):
        return SeriesSplit(None, "the photos' names show no series")
    if not any(len(found) > 1 for found in series.values()):
        return SeriesSplit(None, "the photos of each label are one series by their names")
    shown = ", ".join(sorted(set(names))[:3])
    more = ", …" if len(set(names)) > 3 else ""
    return SeriesSplit(names, f"nearest photos of another series, by the photos' names ({shown}{more})")


def _matches(paths: Sequence[str], pattern: str) -> tuple[str, ...]:
    try:
        found = [re.search(pattern, path) for path in paths]
    except re.error as error:
        raise UsageError(
            f"--series {pattern} is not a regular expression: {error}.", "Example: --series 'r?_'"
        ) from None
    unmatched = [path for path, match in zip(paths, found, strict=True) if match is None]
    if unmatched:
        raise UsageError(f"--series {pattern} does not match {unmatched[0]}.", "It must match a part of every path.")
    return tuple(match[0] for match in found if match is not None)


def _names(paths: Sequence[str]) -> tuple[str, ...]:
    stems = [PurePosixPath(path).stem for path in paths]
    shapes = [DIGITS.sub("#", stem) for stem in stems]
    values: dict[str, list[list[str]]] = defaultdict(list)
    for stem, shape in zip(stems, shapes, strict=True):
        values[shape].append(DIGITS.findall(stem))
    frames = {shape: _most_varied(rows) for shape, rows in values.items()}
    return tuple(_without(stem, frames[shape]) for stem, shape in zip(stems, shapes, strict=True))


def _most_varied(rows: Sequence[Sequence[str]]) -> int:
    """Return the position of the number that has the most values; the last one of several."""
    counts = [len(set(column)) for column in zip(*rows, strict=True)]
    return max(range(len(counts)), key=lambda at: (counts[at], at), default=-1)


def _without(stem: str, position: int) -> str:
    """Replace one number of a name by #."""
    for at, match in enumerate(DIGITS.finditer(stem)):
        if at == position:
            return f"{stem[: match.start()]}#{stem[match.end() :]}"
    return stem
