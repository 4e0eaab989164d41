"""The run folder: the names of its files, and how each is read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ValidationError

from fruitscale.errors import MissingObjectError, OutputError
from fruitscale.runs import manifest, parts
from fruitscale.runs.damage import damaged, load_json
from fruitscale.runs.record import RunRecord
from fruitscale.storage.store import LocalStore, Store, sweep

RECORD, REPORT, REJECTS = "run.json", "report.html", "rejects.parquet"
PLAN, PROGRESS = "_run/plan.json", "_run/progress.json"
PCA_ARRAYS, PCA_RECORD = "pca/pca.npz", "pca/pca.json"
FEATURES, REDUCED, PART_REJECTS = "features", "reduced", "_run/rejects"


@dataclass(frozen=True)
class RunPlan:
    """What a run computes: its fingerprints, the facts they hash, and the whole configuration."""

    fingerprints: Mapping[str, str]
    features: Mapping[str, Any]
    pca: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)


def checked_plan(plan: RunPlan) -> RunPlan:
    """Return a plan as it is. Raises TypeError if it is none that this package wrote."""
    sections = (plan.fingerprints, plan.features, plan.pca, plan.config)
    prints = [plan.fingerprints[of] for of in ("features", "pca")] if isinstance(plan.fingerprints, Mapping) else [None]
    if not all(isinstance(each, Mapping) for each in sections) or not all(isinstance(each, str) for each in prints):
        raise TypeError("not a plan")
    return plan


class RunFolder:
    """The files of one run in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read_plan(self) -> RunPlan | None:
        """Return the plan of the folder's run, or None. Raises OutputError if it is damaged."""
        content = self._read(PLAN)
        if content is None:
            return None
        return load_json(self.store, PLAN, content, lambda values: checked_plan(RunPlan(**values)))

    def write_plan(self, plan: RunPlan) -> None:
        """Write the plan, before any other file of the run."""
        self._write_json(PLAN, asdict(plan))

    def read_record(self) -> RunRecord | None:
        """Return the record of the folder's complete run, or None. Raises OutputError if it is damaged."""
        content = self._read(RECORD)
        if content is None:
            return None
        try:
            return RunRecord.model_validate_json(content)
        except ValidationError:
            raise damaged(self.store, RECORD) from None

    def write_record(self, record: RunRecord) -> None:
        """Write run.json, after every other file of the run."""
        self.store.write(RECORD, record.to_json().encode())

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Write the run's progress, for whoever watches the folder."""
        self._write_json(PROGRESS, progress)

    def write_components(self, arrays: bytes, summary: Mapping[str, Any]) -> None:
        """Write the fitted PCA: its arrays (npz), and a readable summary (JSON)."""
        self.store.write(PCA_ARRAYS, arrays)
        self._write_json(PCA_RECORD, summary)

    def has_parts(self) -> bool:
        """Return whether the folder has parts, of this run or another."""
        return any(True for folder in (FEATURES, REDUCED) for _ in self._parts(folder))

    def has_tables(self) -> bool:
        """Return whether the folder has every file of a complete run other than its parts."""
        return all(self.store.exists(name) for name in (manifest.NAME, REJECTS, PCA_ARRAYS, PCA_RECORD))

    def uncommit(self) -> None:
        """Remove run.json and the page: the run no longer counts as complete. Called before anything else changes."""
        for name in (RECORD, REPORT):
            self.store.delete(name)

    def clear(self) -> None:
        """Remove every file of a run and nothing else. The lock stays, since this process holds it."""
        named = [REJECTS, manifest.NAME, manifest.PRIVATE, PCA_ARRAYS, PCA_RECORD, PROGRESS]
        found = [name for folder in (FEATURES, REDUCED, PART_REJECTS) for name in self._parts(folder)]
        self.uncommit()
        for name in [*found, *named, PLAN]:
            self.store.delete(name)

    def clear_reduced(self) -> None:
        """Remove the components and scores of an earlier PCA."""
        for name in [*self._parts(REDUCED), PCA_ARRAYS, PCA_RECORD]:
            self.store.delete(name)

    def sweep(self) -> int:
        """Remove unfinished writes that a killed process left behind."""
        return sweep(self.store, [f"{folder}/" for folder in (FEATURES, REDUCED, "pca", "_run")])

    def write_rejects(self, indexes: list[int]) -> int:
        """Merge the rejects of the shards that have any into one table; return their number."""
        rows = [r for i in indexes for r in parts.read_rejects(self.store, parts.name(PART_REJECTS, i))]
        parts.write_rejects(self.store, REJECTS, rows)
        return len(rows)

    def _parts(self, folder: str) -> list[str]:
        """Return the parts in a folder; other files there are not ours. Raises OutputError if the folder is a link."""
        if isinstance(self.store, LocalStore) and (self.store.root / folder).is_symlink():
            raise OutputError(
                f"{self.store.uri}/{folder} is a link, so its files may not be this run's.",
                "Remove the link, or choose another --output.",
            )
        return [name for name in self.store.names(f"{folder}/") if parts.is_part(name)]

    def _read(self, name: str) -> bytes | None:
        try:
            return self.store.read(name)
        except MissingObjectError:
            return None

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        self.store.write(name, (json.dumps(value, indent=2, default=str) + "\n").encode())
