"""Read access to a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fruitscale.errors import InputError, OutputError
from fruitscale.runs import parts, replacement
from fruitscale.runs.checked_store import CheckedStore
from fruitscale.runs.damage import damaged
from fruitscale.runs.journal import check_finished
from fruitscale.runs.parts import Part
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import FEATURES, PCA_ARRAYS, PLAN, RECORD, REDUCED, RunFolder, RunPlan
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import Store, each
from fruitscale.uris import is_s3, local_path

COLUMNS = {FEATURES: "features", REDUCED: "components"}


@dataclass(frozen=True)
class CompleteRun:
    """A complete run: one whose run.json exists."""

    uri: str
    folder: RunFolder
    record: RunRecord
    plan: RunPlan

    @property
    def store(self) -> Store:
        """The folder's store. It reads only what run.json names, and checks it."""
        return CheckedStore(self.folder.store, self.record.files)

    def parts(self, place: str) -> Iterator[Part]:
        """Yield the parts of `features` or `reduced` in shard order, each with its checksum checked."""
        store = self.store
        return each(store, lambda name: parts.read_vectors(store, name, COLUMNS[place]), parts.names(store, place))

    def read_components(self) -> bytes:
        """Return the content of pca.npz."""
        return self.store.read(PCA_ARRAYS)


def open_complete(uri: str, access: StorageAccess) -> CompleteRun:
    """Open a complete run.

    Raises InputError or OutputError if there is none, ResidencyError if its bucket is outside the allowed regions.
    """
    folder = open_run(uri, access)
    check_finished(folder.store)
    record, plan = folder.read_record(), folder.read_plan()
    if record is None and replacement.is_pending(folder.store):
        raise OutputError(f"{uri}: replacing the run was interrupted.", "Run the same command again: it finishes that.")
    if record is None:
        problem = f"holds an incomplete run: it has no {RECORD}" if plan else f"has no {RECORD}"
        hint = "Run the same command again: it resumes." if plan else "Give the --output of a run."
        raise OutputError(f"{uri} {problem}.", hint)
    if plan is None:
        raise damaged(folder.store, reason=f"it has no {PLAN}.")
    return CompleteRun(uri, folder, record, plan)


def open_run(uri: str, access: StorageAccess) -> RunFolder:
    """Open a run folder. Raises InputError if there is no such folder, ResidencyError as `StorageAccess.check` does."""
    store = access.open(uri)
    if not is_s3(uri) and not local_path(uri).is_dir():
        raise InputError(f"{uri} does not exist.", "Give the --output of a run.")
    return RunFolder(store)
