"""The run folder: the names of its files, and how each is read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ValidationError

from fruitscale.errors import MissingObjectError, OutputError
from fruitscale.runs import manifest, parts
from fruitscale.runs.damage import damaged, load_json
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.parts import Reject
from fruitscale.runs.record import RunRecord
from fruitscale.storage.store import LocalStore, Store, sweep

RECORD, REPORT, REJECTS = "run.json", "report.html", "rejects.parquet"
PLAN, PROGRESS = "_run/plan.json", "_run/progress.json"
MODEL = "_run/int8.model"
"""The int8 model of the run: its calibration can't be repeated once photos have changed."""
PCA_ARRAYS, PCA_RECORD = "pca/pca.npz", "pca/pca.json"
FEATURES, REDUCED, PART_REJECTS = "features", "reduced", "_run/rejects"


PAGE_MARK, PAGE_HEAD = b'<meta name="generator" content="fruitscale', 4096
"""What a page of fruitscale has among its first bytes."""
_FILES = frozenset({PLAN, MODEL, manifest.NAME, REJECTS, PCA_ARRAYS, PCA_RECORD})
_PLACES = frozenset({FEATURES, REDUCED, PART_REJECTS})


def is_run_file(name: str) -> bool:
    """Return whether run.json may name a file: a table, a part, or the plan."""
    return name in _FILES or (name.rsplit("/", 1)[0] in _PLACES and parts.is_part(name))


@dataclass(frozen=True)
class RunPlan:
    """What a run computes: its fingerprints, the facts they hash, and the whole configuration."""

    fingerprints: Mapping[str, str]
    features: Mapping[str, Any]
    pca: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    cpu_kinds: Sequence[str] = field(default_factory=list)
    """The kinds of CPU that computed features so far, as far as known."""


def checked_plan(plan: RunPlan) -> RunPlan:
    """Return a plan as it is. Raises TypeError if it is none that this package wrote."""
    sections = (plan.fingerprints, plan.features, plan.pca, plan.config)
    prints = [plan.fingerprints[of] for of in ("features", "pca")] if isinstance(plan.fingerprints, Mapping) else [None]
    if not all(isinstance(each, Mapping) for each in sections) or not all(isinstance(each, str) for each in prints):
        raise TypeError("not a plan")
    return plan


class RunFolder:
    """The files of one run in a store; `checksums` holds the sha256 of those written here, by name."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.checksums: dict[str, str] = {}

    def read_plan(self) -> RunPlan | None:
        """Return the plan of the folder's run, or None. Raises OutputError if it is damaged."""
        content = self._read(PLAN)
        if content is None:
            return None
        return load_json(self.store, PLAN, content, lambda values: checked_plan(RunPlan(**values)))

    def write_plan(self, plan: RunPlan) -> None:
        """Write the plan, before any other file of the run."""
        self._write(PLAN, _json(asdict(plan)))

    def read_model(self) -> bytes | None:
        """Return the int8 model of the folder's run, or None."""
        return self._read(MODEL)

    def write_model(self, payload: bytes) -> None:
        """Write the int8 model of the run."""
        self._write(MODEL, payload)

    def read_record(self) -> RunRecord | None:
        """Return the record of the folder's complete run, or None. Raises OutputError if it is damaged."""
        content = self._read(RECORD)
        if content is None:
            return None
        try:
            record = RunRecord.model_validate_json(content)
        except ValidationError:
            raise damaged(self.store, RECORD) from None
        if record.files and not (record.is_intact and all(map(is_run_file, record.files))):
            raise damaged(self.store, RECORD)
        return record

    def write_record(self, record: RunRecord) -> RunRecord:
        """Write run.json, after every other file of the run is durable; return it with its checksum."""
        sealed = record.sealed()
        self.store.write(RECORD, sealed.to_json().encode(), durable=True)
        return sealed

    def write_manifest(self, photos: Manifest) -> None:
        """Write the manifest; with hashed paths, also the private table that tasks need."""
        self.checksums[manifest.NAME] = manifest.write(photos, self.store)

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Write the run's progress, for whoever watches the folder."""
        self.store.write(PROGRESS, _json(progress))

    def write_components(self, arrays: bytes, summary: Mapping[str, Any]) -> None:
        """Write the fitted PCA: its arrays (npz), and a readable summary (JSON)."""
        self._write(PCA_ARRAYS, arrays)
        self._write(PCA_RECORD, _json(summary))

    def has_parts(self) -> bool:
        """Return whether the folder has parts, of this run or another."""
        return any(True for folder in (FEATURES, REDUCED) for _ in self._parts(folder))

    def part_names(self) -> list[str]:
        """Return the names of all parts, of this run or another. Raises OutputError if their folder is a link."""
        return [name for folder in (FEATURES, REDUCED, PART_REJECTS) for name in self._parts(folder)]

    def uncommit(self) -> None:
        """Remove run.json and the page: the run no longer counts as complete. Called before anything else changes."""
        self.store.delete(RECORD)
        if self.has_page():
            self.store.delete(REPORT)

    def has_page(self) -> bool:
        """Return whether the folder has a page that fruitscale wrote; another report.html is left alone."""
        content = self._read(REPORT)
        return content is not None and PAGE_MARK in content[:PAGE_HEAD]

    def clear(self) -> None:
        """Remove every file of a run and nothing else. The lock stays, since this process holds it."""
        named = [MODEL, REJECTS, manifest.NAME, manifest.PRIVATE, PCA_ARRAYS, PCA_RECORD, PROGRESS]
        found = self.part_names()
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

    def write_rejects(self, rejects: Sequence[Reject]) -> None:
        """Write the table of all rejects."""
        self._write(REJECTS, parts.encode_rejects(rejects))

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

    def _write(self, name: str, content: bytes) -> None:
        self.store.write(name, content, durable=True)
        self.checksums[name] = parts.sha256(content)


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, default=str) + "\n").encode()
