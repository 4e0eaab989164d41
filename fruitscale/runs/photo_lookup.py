"""Finds one photo in a complete run: its row in the manifest, its vectors, or why it has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fruitscale.errors import UsageError
from fruitscale.runs import manifest, parts
from fruitscale.runs.parts import Part, Reject
from fruitscale.runs.reader import COLUMNS, CompleteRun
from fruitscale.runs.run_folder import REJECTS
from fruitscale.runs.selection import Selection, choose, resolve
from fruitscale.storage.listing import Photo

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LocatedPhoto:
    """A photo as in the manifest, with its `row` there; `of` counts the manifest's rows."""

    photo: Photo
    row: int
    of: int


@dataclass(frozen=True)
class PartRow:
    """The row of a photo in a part, and the part's name."""

    name: str
    part: Part
    row: int


def locate(run: CompleteRun, given: str) -> LocatedPhoto:
    """Return the photo of a run with this path: as in its manifest, or with hashed paths the real one.

    Raises InputError if there is none, with similar paths, and UsageError if the key of hashed paths is missing or wrong, or
    if several photos have names that look the same.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = manifest.read(run.store)
    try:
        row = pc.index(table["path"], pa.scalar(given, pa.string())).as_py()
    except UnicodeEncodeError:  # a name that is not UTF-8: the listing wrote it differently
        row = -1
    if row < 0:
        found = choose(table, resolve(Selection(paths=(given,)), run.plan))
        if len(found) > 1:
            raise UsageError(f"Several photos are named like {given}.", f"Give one of them: {', '.join(found)}")
        row = pc.index(table["path"], pa.scalar(found[0], pa.string())).as_py()
    return LocatedPhoto(_photo(table, row), row, table.num_rows)


def photos_of(run: CompleteRun, paths: list[str]) -> list[Photo]:
    """Return the manifest's rows of these paths, which it has, in their order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = manifest.read(run.store)
    rows = pc.index_in(pa.array(paths, pa.string()), value_set=table["path"]).to_pylist()
    return [_photo(table, row) for row in rows]


def part_row(run: CompleteRun, place: str, located: LocatedPhoto) -> PartRow | None:
    """Return the photo's row in the parts of `features` or `reduced`; None if it is a reject.

    Photos are in the manifest's order, so the parts where the photo should be are read first.
    """
    store = run.store
    for name in _nearest_first(parts.names(store, place), located):
        part = parts.read_vectors(store, name, COLUMNS[place])
        if located.photo.path in part.paths:
            return PartRow(name, part, part.paths.index(located.photo.path))
    return None


def reject_of(run: CompleteRun, located: LocatedPhoto) -> Reject | None:
    """Return the reject that a photo is, or None."""
    rejects = parts.read_rejects(run.store, REJECTS)
    return next((reject for reject in rejects if reject.path == located.photo.path), None)


def _nearest_first(names: list[str], located: LocatedPhoto) -> Iterator[str]:
    expected = located.row * len(names) // max(located.of, 1)
    yield from (names[number] for number in sorted(range(len(names)), key=lambda number: abs(number - expected)))


def _photo(table: pa.Table, row: int) -> Photo:
    return Photo(*(table[name][row].as_py() for name in table.column_names))
