"""The run folder: its files by name, and the plan that says what an unfinished run is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ValidationError

from fruitscale.errors import MissingObjectError, OutputError
from fruitscale.runs import manifest, parts
from fruitscale.runs.record import RunRecord
from fruitscale.storage.store import Store, sweep

RECORD, REPORT, REJECTS = "run.json", "report.html", "rejects.parquet"
PLAN, PROGRESS = "_run/plan.json", "_run/progress.json"
PCA_ARRAYS, PCA_RECORD = "pca/pca.npz", "pca/pca.json"
FEATURES, REDUCED, PART_REJECTS = "features", "reduced", "_run/rejects"


@dataclass(frozen=True)
class RunPlan:
    """What a run is: its fingerprints, what they were made of, and the whole configuration."""

    fingerprints: Mapping[str, str]
    features: Mapping[str, Any]
    pca: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)


class RunFolder:
    """The files of one run in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read_plan(self) -> RunPlan | None:
        """Return the plan of the run that is there, or None. Raises OutputError when it can't be read."""
        content = self._read(PLAN)
        if content is None:
            return None
        try:
            return RunPlan(**json.loads(content))
        except (ValueError, TypeError):
            raise OutputError(f"{self.store.uri}/{PLAN} is damaged.", "Run again with --overwrite.") from None

    def write_plan(self, plan: RunPlan) -> None:
        """Write the plan: before anything else of a run."""
        self._write_json(PLAN, asdict(plan))

    def read_record(self) -> RunRecord | None:
        """Return the record of the complete run that is there, or None. Raises OutputError when it can't be read."""
        content = self._read(RECORD)
        if content is None:
            return None
        try:
            return RunRecord.model_validate_json(content)
        except ValidationError:
            raise OutputError(f"{self.store.uri}/{RECORD} is damaged.", "Run again with --overwrite.") from None

    def write_record(self, record: RunRecord) -> None:
        """Write run.json: after everything else of a run."""
        self.store.write(RECORD, record.to_json().encode())

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Tell those who watch the folder where the run is."""
        self._write_json(PROGRESS, progress)

    def write_components(self, arrays: bytes, summary: Mapping[str, Any]) -> None:
        """Write the fitted PCA: its arrays (npz), and what a person wants to know of it."""
        self.store.write(PCA_ARRAYS, arrays)
        self._write_json(PCA_RECORD, summary)

    def has_parts(self) -> bool:
        """Tell whether there are parts, whosever they are."""
        return any(True for folder in (FEATURES, REDUCED) for _ in self.store.names(f"{folder}/"))

    def has_tables(self) -> bool:
        """Tell whether all is there that a complete run has beside its parts."""
        return all(self.store.exists(name) for name in (manifest.NAME, REJECTS, PCA_ARRAYS, PCA_RECORD))

    def uncommit(self) -> None:
        """Take back the promise that the run is complete, before anything of it changes."""
        for name in (RECORD, REPORT):
            self.store.delete(name)

    def clear(self) -> None:
        """Remove every file of a run, and nothing else. The lock stays: it is ours."""
        self.uncommit()
        named = [REJECTS, manifest.NAME, manifest.PRIVATE, PCA_ARRAYS, PCA_RECORD, PROGRESS]
        found = [name for folder in (FEATURES, REDUCED, PART_REJECTS) for name in self.store.names(f"{folder}/")]
        for name in [*found, *named, PLAN]:
            self.store.delete(name)

    def clear_reduced(self) -> None:
        """Remove what another PCA made."""
        for name in [*self.store.names(f"{REDUCED}/"), PCA_ARRAYS, PCA_RECORD]:
            self.store.delete(name)

    def sweep(self) -> int:
        """Remove what a kill left of unfinished writes."""
        return sweep(self.store, [f"{folder}/" for folder in (FEATURES, REDUCED, "pca", "_run")])

    def write_rejects(self, indexes: list[int]) -> int:
        """Gather the rejects of the shards that have some; return how many there are."""
        rows = [r for i in indexes for r in parts.read_rejects(self.store, parts.name(PART_REJECTS, i))]
        parts.write_rejects(self.store, REJECTS, rows)
        return len(rows)

    def _read(self, name: str) -> bytes | None:
        try:
            return self.store.read(name)
        except MissingObjectError:
            return None

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        self.store.write(name, (json.dumps(value, indent=2, default=str) + "\n").encode())
