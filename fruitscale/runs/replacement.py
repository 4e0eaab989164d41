"""Replaces a complete run: the new one is written beside it, in `_run/next`, and takes its place once it is complete.

`_run/next/run.json` is the commit. If the switch is interrupted after it, the next run or erasure in this folder finishes it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from operator import eq

from fruitscale.errors import MissingObjectError, OutputError
from fruitscale.runs import parts
from fruitscale.runs.manifest import PRIVATE
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import FEATURES, PART_REJECTS, RECORD, REDUCED, RunFolder, is_run_file
from fruitscale.storage.store import LocalStore, Store, StoreView, each

NEXT = "_run/next"


@dataclass(frozen=True)
class Destination:
    """Where a run writes: `features` and `results` may be in the folder beside the run that they replace."""

    features: RunFolder
    results: RunFolder
    features_folder: str = ""
    results_folder: str = ""

    @property
    def is_beside(self) -> bool:
        """Whether the run takes the place of a complete one at its end."""
        return bool(self.results_folder)

    def commit(self, folder: RunFolder, record: RunRecord) -> RunRecord:
        """Make every file durable, then write run.json, and make the run the one of `folder`; return its record."""
        places = {FEATURES, PART_REJECTS}
        features = {name for name in record.files if name.rsplit("/", 1)[0] in places}
        self.features.store.sync(features)
        self.results.store.sync(record.files.keys() - features)
        if self.is_beside:
            sealed = self.results.write_record(record)
            try:
                return switch(folder.store, sealed)
            except KeyboardInterrupt:  # too late: neither run would be complete
                return switch(folder.store, sealed)
        sweep_parts(folder, record)
        return folder.write_record(record)


def next_folder(store: Store) -> RunFolder:
    """Return the folder in which the new run is written."""
    return RunFolder(StoreView(store, NEXT))


def is_pending(store: Store) -> bool:
    """Return whether a new run is complete but has not taken its place."""
    try:
        return next_folder(store).read_record() is not None
    except OutputError:
        return False


def reserve(store: Store) -> None:
    """On S3, write a placeholder that the new run's record will replace.

    So the commit is a conditional write, and fails once another run has held the lock: `finish_pending` removes this.
    """
    if store.is_remote:
        store.write(f"{NEXT}/{RECORD}", json.dumps({"reserved": secrets.token_hex(16)}).encode())


def finish_pending(store: Store) -> None:
    """Finish a switch that was interrupted.

    A record counts as absent if its files are missing, if a power cut damaged it, or if it is only a placeholder.
    """
    new = next_folder(store)
    try:
        record = new.read_record()
    except OutputError:
        new.store.delete(RECORD)
        return
    if record is None:
        return
    waiting = set(new.store.names(""))
    if store.exists(RECORD) and waiting.isdisjoint(record.files):
        clear_next(store)
        return
    places = [f"{NEXT}/{name}" if name in waiting else name for name in record.files]
    found = each(store, lambda name: _checksum(store, name), places)
    if all(map(eq, found, record.files.values())):
        switch(store, record)
    else:
        clear_next(store)


def _checksum(store: Store, name: str) -> str | None:
    try:
        return parts.sha256(store.read(name))
    except MissingObjectError:
        return None


def switch(store: Store, record: RunRecord) -> RunRecord:
    """Move the files of the new run into place, and remove what the old run leaves; return the record.

    `run.json` is missing in between, so that no reader takes a mixture for a run. May be repeated after an interruption.
    """
    folder, new = RunFolder(store), next_folder(store)
    moved = [name for name in new.store.names("") if name in record.files]
    folder.uncommit()
    for _ in each(store, lambda name: store.move(f"{NEXT}/{name}", name), moved):
        pass
    sweep_parts(folder, record)
    store.sync(record.files)
    sealed = folder.write_record(record)
    clear_next(store)
    return sealed


def clear_next(store: Store) -> None:
    """Remove a new run, complete or not, that has not taken its place; `run.json` first."""
    folder = StoreView(store, NEXT)
    for name in sorted(folder.names(""), key=lambda name: name != RECORD):
        if name in (RECORD, PRIVATE) or is_run_file(name):
            folder.delete(name)
    if isinstance(store, LocalStore):
        for place in (FEATURES, REDUCED, "pca", PART_REJECTS, "_run", ""):
            store.remove_if_empty(f"{NEXT}/{place}")


def sweep_parts(folder: RunFolder, record: RunRecord) -> list[str]:
    """Remove the parts that a run's record does not name, such as those of the run before; return their names."""
    foreign = [name for name in folder.part_names() if name not in record.files]
    for name in foreign:
        folder.store.delete(name)
    return foreign
