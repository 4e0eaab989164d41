"""Reads runs into one Arrow table."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from fruitscale.config.schema import Storage
from fruitscale.errors import MissingExtraError, OutputError, UsageError
from fruitscale.runs.fingerprints import model_differences
from fruitscale.runs.parts import as_table
from fruitscale.runs.reader import COLUMNS, CompleteRun, open_complete
from fruitscale.storage.residency import StorageAccess

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Column: TypeAlias = Literal["components", "features"]
PLACES = {column: place for place, column in COLUMNS.items()}


@overload
def read(*runs: str, column: Column = ..., pandas: Literal[False] = ..., storage: Storage | None = ...) -> pa.Table: ...
@overload
def read(*runs: str, column: Column = ..., pandas: Literal[True], storage: Storage | None = ...) -> pd.DataFrame: ...
def read(
    *runs: str, column: Column = "components", pandas: bool = False, storage: Storage | None = None
) -> pa.Table | pd.DataFrame:
    """Read complete runs into one Arrow table, in manifest order, checking every part.

    Columns: `path`, `label`, and `components` or `features`, a fixed-size list of float32; with several runs, `run`
    comes first: the folder as given. With `pandas`, return a DataFrame with one NumPy array per row.
    Raises InputError or OutputError if a run is not complete, UsageError if the runs are not comparable.
    """
    import pyarrow as pa

    if not runs:
        raise UsageError("No run was given.", "Give the folder of one: fruitscale.read('runs/first')")
    if column not in PLACES:
        raise UsageError(f"A run has no column {column!r}.", "Read components or features.")
    access = StorageAccess(storage)
    opened = [open_complete(uri, access) for uri in runs]
    check_comparable(opened, column)
    tables = [read_table(run, column) for run in opened]
    if len(runs) > 1:
        names = [pa.repeat(pa.scalar(run.uri), len(table)) for run, table in zip(opened, tables, strict=True)]
        tables = [t.add_column(0, "run", name) for t, name in zip(tables, names, strict=True)]
    table = pa.concat_tables(tables)
    return _as_pandas(table) if pandas else table


def read_table(run: CompleteRun, column: Column) -> pa.Table:
    """Return one run's `path`, `label` and column. Raises OutputError if a part is damaged."""
    import pyarrow as pa

    found = [as_table(part, column) for part in run.parts(PLACES[column])]
    if not found:
        raise OutputError(f"{run.uri} has no {PLACES[column]}.", "Run the same command again: it writes them.")
    return pa.concat_tables(found)


def check_comparable(runs: list[CompleteRun], column: Column) -> None:
    """Raise UsageError unless the runs are comparable: the same model and, for components, the same PCA."""
    first, digests = runs[0], [hashlib.sha256(run.read_components()).digest() for run in runs]
    for run, digest in zip(runs, digests, strict=True):
        if differing := model_differences(first.plan, run.plan):
            raise UsageError(
                f"The features of {first.uri} and {run.uri} are not comparable: {differing}.", "Read them one by one."
            )
        if column == "components" and digest != digests[0]:
            raise UsageError(
                f"{first.uri} and {run.uri} have components of different fits, which are not comparable.",
                f"Apply the PCA of one to the photos of the other (fruitscale apply --pca {first.uri}), or read features.",
            )


def _as_pandas(table: pa.Table) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = table.to_pandas()
    except ImportError:
        raise MissingExtraError("pandas", "report") from None
    return frame
