"""Searches the features or components of a run: its parts are read one after the other, and only the nearest are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fruitscale.errors import UsageError
from fruitscale.runs.parts import Part
from fruitscale.runs.reader import CompleteRun
from fruitscale.runs.run_folder import FEATURES, REDUCED
from fruitscale.search.exact_neighbours import ROWS, Block, Floats, NearestSearch, Neighbours, Rows

By: TypeAlias = Literal["components", "features"]
PLACES: Mapping[str, str] = {"components": REDUCED, "features": FEATURES}
MOST_NEIGHBOURS = 10_000
"""Largest k: the nearest photos of every query are in memory."""


@dataclass(frozen=True)
class SearchResult:
    """The nearest rows of each query; `names` has the path and label of each of these rows; `of` counts the rows searched."""

    neighbours: Neighbours
    names: Mapping[int, tuple[str, str | None]]
    of: int


def place_of(by: str) -> str:
    """Return the folder of the vectors to compare. Raises UsageError."""
    if by not in PLACES:
        raise UsageError(f"Photos can't be compared by {by}.", "Compare them by components or by features.")
    return PLACES[by]


def check_neighbours(k: int) -> None:
    """Raise UsageError unless k is a number of neighbours."""
    if not 1 <= k <= MOST_NEIGHBOURS:
        raise UsageError(f"{k} is not a number of neighbours.", f"Give --k a number from 1 to {MOST_NEIGHBOURS:,}.")


def search_run(
    run: CompleteRun,
    place: str,
    queries: Floats,
    k: int,
    groups: Rows | None = None,
    groups_of: Callable[[int, Part], Rows] | None = None,
) -> SearchResult:
    """Return the k nearest photos of each query (n, width); of equally near ones, the first by path.

    `groups` (n,) are those of the queries, `groups_of` returns those of a part's photos, given its first row: the photos of a
    query's own group are left out. Raises OutputError if a part is damaged.
    """
    search, n_rows = NearestSearch(queries, k, groups), 0
    names: dict[int, tuple[str, str | None]] = {}
    for part in batched(run.parts(place), ROWS):
        search.add(Block(part.values, groups_of and groups_of(n_rows, part)))
        start, n_rows = n_rows, n_rows + len(part.paths)
        kept = np.unique(search.found().rows)
        kept = kept[kept >= 0].tolist()
        new = {row: (part.paths[row - start], part.labels[row - start]) for row in kept if row >= start}
        names = {row: new.get(row) or names[row] for row in kept}
    return SearchResult(search.found(), names, n_rows)


def batched(found: Iterable[Part], rows: int) -> Iterator[Part]:
    """Yield parts joined until they have at least `rows` rows; the last may have fewer."""
    batch: list[Part] = []
    for part in found:
        batch.append(part)
        if sum(len(one.paths) for one in batch) >= rows:
            yield _joined(batch)
            batch = []
    if batch:
        yield _joined(batch)


def _joined(batch: list[Part]) -> Part:
    if len(batch) == 1:
        return batch[0]
    paths = [path for part in batch for path in part.paths]
    labels = [label for part in batch for label in part.labels]
    return Part(paths, labels, np.concatenate([part.values for part in batch]))
