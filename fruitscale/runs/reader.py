"""A run that is complete, opened by something else than itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fruitscale.config.schema import Storage
from fruitscale.errors import InputError, OutputError
from fruitscale.runs import parts
from fruitscale.runs.journal import check_finished
from fruitscale.runs.parts import Part
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import FEATURES, PCA_ARRAYS, PLAN, RECORD, REDUCED, RunFolder, RunPlan
from fruitscale.storage import residency
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.store import Store, open_store
from fruitscale.uris import is_s3, local_path

T = TypeVar("T")
R = TypeVar("R")
COLUMNS = {FEATURES: "features", REDUCED: "components"}
AT_ONCE = 8
"""Files on S3 that are worked on together: few, since each is in memory whole."""


@dataclass(frozen=True)
class CompleteRun:
    """What is in a run folder whose run.json is there."""

    uri: str
    folder: RunFolder
    record: RunRecord
    plan: RunPlan

    @property
    def store(self) -> Store:
        """The folder's store."""
        return self.folder.store

    def parts(self, place: str) -> Iterator[Part]:
        """Yield the parts of `features` or `reduced` in the order of their shards, each checked."""
        names = parts.names(self.store, place)
        return each(self.store, lambda name: parts.read_vectors(self.store, name, COLUMNS[place]), names)

    def read_components(self) -> bytes:
        """Return the content of pca.npz."""
        return self.store.read(PCA_ARRAYS)


def open_complete(uri: str, storage: Storage | None = None) -> CompleteRun:
    """Open a complete run; `storage` says how to reach one on S3.

    Raises InputError or OutputError when there is none, ResidencyError when its bucket is not where it should be.
    """
    folder = open_run(uri, storage)
    check_finished(folder.store)
    record, plan = folder.read_record(), folder.read_plan()
    if record is None:
        problem = f"holds a run that is not complete: there is no {RECORD}" if plan else f"has no {RECORD}"
        hint = "Run the same command again: it resumes." if plan else "Give the --output of a run."
        raise OutputError(f"{uri} {problem}.", hint)
    if plan is None:
        raise OutputError(f"{uri} is damaged: there is no {PLAN}.", "Run again with --overwrite.")
    return CompleteRun(uri, folder, record, plan)


def open_run(uri: str, storage: Storage | None) -> RunFolder:
    """Open a run folder; `storage` says how to reach one on S3. Raises InputError or ResidencyError."""
    settled = settled_storage(uri, storage)
    if not is_s3(uri) and not local_path(uri).is_dir():
        raise InputError(f"{uri} is not a run folder: there is no such folder.", "Give the --output of a run.")
    return RunFolder(open_store(uri, settled))


def settled_storage(uri: str, storage: Storage | None) -> Storage:
    """Return the settings to read a URI with, once its bucket is where it should be. Raises ResidencyError."""
    storage = storage or Storage()
    if is_s3(uri):
        storage = residency.settle(storage)
        residency.check(storage, [uri])
    return storage


def each(store: Store, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Apply a function to items and yield the results in order; on S3, to a few at once."""
    if not isinstance(store, S3Store):
        yield from map(function, items)
        return
    with ThreadPoolExecutor(AT_ONCE, "part") as pool:
        for start in range(0, len(items), AT_ONCE):
            yield from pool.map(function, items[start : start + AT_ONCE])
