"""Holds photos of a run out to find how far a label's own photos are from its others, and how often a vote is right.

A photo is held out with its neighbours in order of path: photos taken in a row look alike, and would make the run seem denser
than it is for a photo taken at another time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import InputError
from fruitscale.evaluation.vectors import evenly, spelled_alike
from fruitscale.runs import manifest, parts
from fruitscale.runs.reader import CompleteRun
from fruitscale.runs.run_folder import REJECTS
from fruitscale.search.exact_neighbours import Floats, Rows
from fruitscale.search.run_search import SearchResult, search_run

BLOCKS = 10
"""A label's photos are held out in this many blocks: each photo with a tenth of its label."""
MOST_HELD_OUT = 5000
"""Photos held out, evenly by label."""
LEAST = 20
"""A label with fewer photos held out has the limit of all labels together."""


@dataclass(frozen=True)
class Vote:
    """The label with most votes among a photo's neighbours, of equal ones the first in the alphabet, and its share of them.

    `distance` is that of the nearest neighbour, `nearest` its path.
    """

    label: str
    share: float
    distance: float
    nearest: str


@dataclass(frozen=True)
class HeldOutLabel:
    """A label's photos that were held out: their number, and the `limit` beyond which a photo is unknown.

    `precision` is the fraction of photos given this label that have it, None if none was; `coverage` the fraction of the
    label's photos that were near enough to be given any label.
    """

    label: str
    photos: int
    limit: float
    precision: float | None
    coverage: float


@dataclass(frozen=True)
class DistanceLimits:
    """The distances beyond which photos are unknown, for each label and for those with few photos, and the scores."""

    limits: dict[str, float]
    limit: float
    labels: tuple[HeldOutLabel, ...]
    photos: int

    def limit_of(self, label: str) -> float:
        """Return the largest distance at which a photo is given a label."""
        return self.limits.get(label, self.limit)


def calibrate(run: CompleteRun, place: str, k: int, quantile: float) -> DistanceLimits:
    """Hold photos of a run out, and return the quantile of their distances to the others. Raises InputError.

    `place` is `features` or `reduced`.
    """
    labels = labels_of(run)
    counts, blocks = Counter(labels), _blocks(labels)
    rows = [row for row in evenly(labels, MOST_HELD_OUT) if counts[labels[row]] > 1]
    if not rows:
        raise InputError(
            f"Every label of {run.uri} has one photo only, so there is nothing to compare with it.",
            "Give a run with more photos of each label.",
        )
    found = search_run(
        run,
        place,
        _values(run, place, rows),
        k,
        blocks[rows],
        lambda start, part: blocks[start : start + len(part.paths)],
    )
    votes = votes_of(found)
    return _calibration([labels[row] for row in rows], votes, quantile)


def labels_of(run: CompleteRun) -> list[str]:
    """Return the label of each photo with features, in the order of the parts. Raises InputError if one has none."""
    gone = {reject.path for reject in parts.read_rejects(run.store, REJECTS)}
    table = manifest.read(run.store)
    rows = zip(table["path"].to_pylist(), table["label"].to_pylist(), strict=True)
    labels = [spelled_alike(label) for path, label in rows if path not in gone]
    named = [label for label in labels if label is not None]
    if len(named) < len(labels) or not named:
        raise InputError(
            f"{run.uri} has {'photos without a label' if labels else 'no photos'}, so it can give no labels.",
            "Give a run with one folder per label (input.label: parent).",
        )
    return named


def votes_of(found: SearchResult) -> list[Vote | None]:
    """Return the vote of each query's neighbours, None if it has none."""
    rows, distances = found.neighbours.rows, found.neighbours.distances
    return [_vote(found, near, apart) for near, apart in zip(rows.tolist(), distances.tolist(), strict=True)]


def _vote(found: SearchResult, rows: Sequence[int], distances: Sequence[float]) -> Vote | None:
    near = [found.names[row] for row in rows if row >= 0]
    if not near:
        return None
    counts = Counter(spelled_alike(label) or "" for _, label in near)
    label, votes = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return Vote(label, votes / len(near), distances[0], near[0][0])


def _blocks(labels: Sequence[str]) -> Rows:
    """Return the block of each photo: its label's number times the number of blocks, and its tenth of the label."""
    counts, seen = Counter(labels), Counter[str]()
    numbers = {label: number for number, label in enumerate(counts)}
    blocks = np.empty(len(labels), np.int64)
    for row, label in enumerate(labels):
        blocks[row] = numbers[label] * BLOCKS + seen[label] * min(BLOCKS, counts[label]) // counts[label]
        seen[label] += 1
    return blocks


def _values(run: CompleteRun, place: str, rows: Sequence[int]) -> Floats:
    """Return the vectors of some rows, in order: one part is in memory at a time."""
    chosen, start, found = np.array(rows), 0, []
    for part in run.parts(place):
        stop = start + len(part.paths)
        first, last = np.searchsorted(chosen, [start, stop])
        found.append(part.values[chosen[first:last] - start])
        start = stop
    return np.concatenate(found)


def _calibration(labels: Sequence[str], votes: Sequence[Vote | None], quantile: float) -> DistanceLimits:
    """Return the limits and scores of held-out photos with these labels; those without a neighbour are left out."""
    held = [(label, vote) for label, vote in zip(labels, votes, strict=True) if vote is not None]
    distances: dict[str, list[float]] = {}
    for label, vote in held:
        distances.setdefault(label, []).append(vote.distance)
    overall = _quantile([vote.distance for _, vote in held], quantile)
    limits = {label: _quantile(near, quantile) for label, near in distances.items() if len(near) >= LEAST}
    given = [(label, vote.label) for label, vote in held if vote.distance <= limits.get(vote.label, overall)]
    scores = tuple(
        HeldOutLabel(
            label=label,
            photos=len(near),
            limit=limits.get(label, overall),
            precision=_fraction([own == label for own, voted in given if voted == label]),
            coverage=sum(own == label for own, _ in given) / len(near),
        )
        for label, near in sorted(distances.items())
    )
    return DistanceLimits(limits, overall, scores, len(held))


def _quantile(distances: Sequence[float], quantile: float) -> float:
    values: NDArray[np.float64] = np.array(distances)
    return float(np.quantile(values, quantile))


def _fraction(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None
