"""Reads everything that a run's page shows, in one pass over the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fruitscale.config import loading
from fruitscale.config.schema import Config
from fruitscale.errors import OutputError
from fruitscale.kernels.moments import Components
from fruitscale.report.label_pairs import Closeness, closeness
from fruitscale.report.sampling import Rows, ends, evenly
from fruitscale.runs import manifest, parts
from fruitscale.runs.checked_store import CheckedStore
from fruitscale.runs.journal import check_finished
from fruitscale.runs.parts import Part, Reject
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import PCA_ARRAYS, RECORD, REDUCED, REJECTS, RunFolder
from fruitscale.storage.listing import Photo
from fruitscale.storage.store import Store, each

if TYPE_CHECKING:
    import pyarrow as pa

MOST_POINTS = 5000
LEADING = 8
"""Components that the page can plot."""
MOST_PAIRS = 8
ENDS, AT_AN_END = 6, 5
"""Components whose extremes are shown, and photos at each extreme."""


@dataclass(frozen=True)
class ComponentEnd:
    """The rows with the lowest and highest scores in a component, outermost first."""

    component: int
    low: Rows
    high: Rows


@dataclass(frozen=True)
class RunFacts:
    """A complete run. Rows number the usable photos, in manifest order.

    `labels` are names by label number (None: no label), `codes` each row's label number (n,), `leading` the first scores
    of each row (n, up to 8), `sample` the rows plotted as points, `sampled` all scores of those rows.
    """

    record: RunRecord
    config: Config
    fitted: Components
    rejects: list[Reject]
    photos: pa.Table
    labels: list[str | None]
    codes: NDArray[np.int64]
    leading: NDArray[np.float32]
    sample: Rows
    sampled: NDArray[np.float32]

    @property
    def is_named(self) -> bool:
        """Return whether photos may be named and shown."""
        return self.config.output.paths == "plain"

    @cached_property
    def plotted_labels(self) -> NDArray[np.int64]:
        """The numbers of the labels that have a point, in order."""
        return np.unique(self.codes[self.sample])

    @cached_property
    def style_numbers(self) -> NDArray[np.intp]:
        """Each point's label, numbered among the plotted labels: selects its style."""
        return np.searchsorted(self.plotted_labels, self.codes[self.sample])

    @cached_property
    def closeness(self) -> Closeness | None:
        """The closest labels; medoids are indices of points."""
        return closeness(self.sampled, self.codes[self.sample], MOST_PAIRS)

    @cached_property
    def ends(self) -> list[ComponentEnd]:
        """The photos at both extremes of the first components."""
        shown = range(min(ENDS, self.leading.shape[1]))
        return [ComponentEnd(c, *ends(self.leading[:, c], self.codes, AT_AN_END)) for c in shown]

    @property
    def sampled_paths(self) -> list[str]:
        """The path of each point."""
        paths: list[str] = self.photos["path"].take(self.sample).to_pylist()
        return paths

    def photo(self, row: int) -> Photo:
        """Return a photo by its row."""
        return Photo(*(self.photos[name][row].as_py() for name in self.photos.column_names))

    def label(self, row: int) -> str:
        """Return the label of a row, for display."""
        return shown(self.labels[self.codes[row]])


def shown(label: str | None) -> str:
    """Return a label for display."""
    return "(no label)" if label is None else label or "(empty)"


def read_run_facts(folder: RunFolder) -> RunFacts:
    """Read a complete run: its tables, and each part of its scores once. Raises OutputError."""
    check_finished(folder.store)
    record, plan = folder.read_record(), folder.read_plan()
    if record is None or plan is None:
        raise OutputError(f"{folder.store.uri} has no complete run: there is no {RECORD}.", "Finish the run first.")
    store = CheckedStore(folder.store, record.files)
    rejects = parts.read_rejects(store, REJECTS)
    photos = _usable(manifest.read(store), rejects)
    labels, codes = _labels(photos)
    sample = evenly(codes, MOST_POINTS)
    leading, sampled = _scores(store, photos, sample)
    return RunFacts(
        record=record,
        config=loading.from_mapping(plan.config),
        fitted=Components.from_bytes(store.read(PCA_ARRAYS)),
        rejects=rejects,
        photos=photos,
        labels=labels,
        codes=codes,
        leading=leading,
        sample=sample,
        sampled=sampled,
    )


def _usable(table: pa.Table, rejects: list[Reject]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    gone = pa.array([reject.path for reject in rejects], pa.string())
    return table.filter(pc.invert(pc.is_in(table["path"], value_set=gone))).combine_chunks()


def _labels(photos: pa.Table) -> tuple[list[str | None], NDArray[np.int64]]:
    """Return the labels in alphabetical order (no label last), and each row's label number."""
    counted: Counter[str | None] = Counter(photos["label"].to_pylist())
    labels = sorted(counted, key=lambda label: (label is None, label))
    numbers = {label: number for number, label in enumerate(labels)}
    return labels, np.array([numbers[label] for label in photos["label"].to_pylist()], np.int64)


def _scores(store: Store, photos: pa.Table, sample: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the first scores of every row, and all scores of the sample. One part is in memory at a time."""
    leading, sampled, start = [], [], 0
    for part in _parts(store):
        stop = start + len(part.paths)
        _check(store, part, photos, start)
        leading.append(part.values[:, :LEADING].copy())
        sampled.append(part.values[sample[np.searchsorted(sample, start) : np.searchsorted(sample, stop)] - start])
        start = stop
    if start != photos.num_rows:
        raise _disagree(store)
    return np.concatenate(leading), np.concatenate(sampled)


def _parts(store: Store) -> Iterator[Part]:
    return each(store, lambda name: parts.read_vectors(store, name, "components"), parts.names(store, REDUCED))


def _check(store: Store, part: Part, photos: pa.Table, start: int) -> None:
    if part.paths != photos["path"].slice(start, len(part.paths)).to_pylist():
        raise _disagree(store)


def _disagree(store: Store) -> OutputError:
    return OutputError(
        f"{store.uri} is damaged: its tables don't agree.", "Run the run's command again: it repairs the tables."
    )
