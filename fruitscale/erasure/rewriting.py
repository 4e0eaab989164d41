"""Erases photos from the tables of a run folder. A journal makes it resumable after a kill at any moment.

The journal is written first and removed last; `run.json` is removed before any table changes and written after all have.
Journal and receipt hold salted hashes of photo paths, and no paths.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fruitscale.errors import OutputError, UsageError
from fruitscale.runs import manifest, old_versions, parts
from fruitscale.runs.checked_store import CheckedStore
from fruitscale.runs.damage import damaged
from fruitscale.runs.journal import JOURNAL, Journal, PurgedVersions, kind, salted, write_journal, write_receipt
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.parts import DamagedPartError, Part
from fruitscale.runs.reader import COLUMNS
from fruitscale.runs.record import RunRecord
from fruitscale.runs.replacement import clear_next
from fruitscale.runs.run_folder import (
    FEATURES,
    PART_REJECTS,
    PCA_ARRAYS,
    PCA_RECORD,
    PLAN,
    PROGRESS,
    RECORD,
    REDUCED,
    REJECTS,
    REPORT,
    RunFolder,
    RunPlan,
)
from fruitscale.runs.run_id import new_id
from fruitscale.runs.selection import Selection, choose, nothing_selected, resolve, without_names
from fruitscale.storage.store import Store, each, sweep

if TYPE_CHECKING:
    import pyarrow as pa


def check_is_run(folder: RunFolder) -> None:
    """Raise OutputError if the folder holds no run, before a lock is created in it."""
    if folder.read_plan() is None:
        raise OutputError(f"{folder.store.uri} has no run in it.", "Give the --output of a run.")


def begin(
    folder: RunFolder, selection: Selection, plan_after: Callable[[RunPlan, Manifest, int], RunPlan], *, refit: bool
) -> Journal:
    """Return the journal of an erasure, changing nothing. `plan_after` makes the plan of the remaining photos.

    Raises OutputError if the run is incomplete or damaged, InputError or UsageError if nothing is selected.
    """
    record, plan = _complete(folder)
    before = int(record.get("erased", 0))
    if selection.is_empty and not (refit and before):
        raise UsageError("No photos are selected.", "Give --path, --label or --matching.")
    store = CheckedStore(folder.store, record["files"])
    table = manifest.read(store)
    gone = set(choose(table, resolve(selection, plan)))
    if not gone and not selection.is_empty:
        raise nothing_selected(table, selection)
    left = table.filter([path not in gone for path in table["path"].to_pylist()])
    after, total = manifest.describe(left), before + len(gone)
    config = without_names(plan.config, {*gone, *selection.paths} | _labels(table) - _labels(left), _labels(left))
    new = asdict(replace(plan_after(plan, after, total), config=config))
    salt, files = secrets.token_hex(16), _count_rows(store, gone, refit=refit)
    return Journal(
        id=new_id(),
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        refit=refit,
        salt=salt,
        hashes=sorted(salted(salt, path) for path in gone),
        files=files,
        removed=[REPORT] * folder.has_page()
        + [name for name in (PROGRESS, manifest.PRIVATE) if folder.store.exists(name)],
        plan=new,
        record=_record_after(record, after, new["fingerprints"], files, total),
    )


def resume(folder: RunFolder, journal: Journal, selection: Selection, *, refit: bool) -> Journal:
    """Return the journal to finish, if it matches the selection or none is given; a refit may be added.

    Raises OutputError if other photos are selected, InputError for an unknown path.
    """
    resolved = resolve(selection, RunPlan(**journal.plan))
    if not resolved.is_empty:
        chosen = choose(manifest.read(folder.store), resolved, journal.has)
        if not all(map(journal.has, chosen)):
            raise OutputError(
                f"{folder.store.uri}: the erasure of other photos was interrupted.",
                f"Finish that first: fruitscale erase {folder.store.uri}",
            )
    if refit and not journal.refit:
        every = dict.fromkeys(_tables(folder.store, REDUCED), 0)
        return replace(journal, refit=True, files=every | journal.files)
    return journal


def commit(folder: RunFolder, journal: Journal) -> None:
    """Write the journal, then remove run.json, and what other runs left in the folder."""
    write_journal(folder.store, journal)
    folder.uncommit()
    for name in folder.part_names():
        if journal.record["files"] and name not in journal.record["files"]:
            folder.store.delete(name)
    clear_next(folder.store)  # an unfinished replacement may hold the photos
    sweep(folder.store, [""])  # a killed process can leave a half-written table


def rewrite(store: Store, journal: Journal) -> None:
    """Remove the rows from every table. With a refit, scores are left: they are computed again."""

    def remove_rows(name: str) -> None:
        _rewrite_one(store, name, journal)

    places = [PART_REJECTS, FEATURES] if journal.refit else [PART_REJECTS, REDUCED, FEATURES]
    for place in [*places, REJECTS]:  # a shard's rejects before its features, whose footer counts them
        for _ in each(store, remove_rows, [name for name in journal.files if kind(name) == place]):
            pass
    table = manifest.read(store)
    stays = [not journal.has(path) for path in table["path"].to_pylist()]
    if not all(stays):
        manifest.write(manifest.describe(table.filter(stays)), store)


def finish(folder: RunFolder, journal: Journal, record: Mapping[str, Any]) -> PurgedVersions:
    """Write the plan and `run.json`, purge old versions, write the receipt and remove the journal."""
    store = folder.store
    folder.write_plan(RunPlan(**journal.plan))
    for name in journal.removed:
        store.delete(name)
    pca = [PCA_ARRAYS, PCA_RECORD] if journal.refit else []
    rewritten = {*journal.files, *pca, PLAN, manifest.NAME}
    store.sync(rewritten)
    files = record["files"] and {**record["files"], **{n: parts.sha256(store.read(n)) for n in sorted(rewritten)}}
    folder.write_record(RunRecord.model_validate({**record, "files": files}))
    touched = {*rewritten, *journal.removed, RECORD, JOURNAL}
    purged = old_versions.purge(store, touched)
    write_receipt(store, journal, purged)
    store.delete(JOURNAL)
    old_versions.purge(store, [JOURNAL], under=JOURNAL)
    return purged


def _complete(folder: RunFolder) -> tuple[dict[str, Any], RunPlan]:
    record, plan = folder.read_record(), folder.read_plan()
    if record is None or plan is None:
        raise OutputError(
            f"{folder.store.uri} holds an incomplete run, so nothing can be erased from it.",
            "Finish the run first (the same command again resumes it), or remove the folder.",
        )
    return json.loads(record.to_json()), plan


def _labels(table: pa.Table) -> set[str]:
    return set(filter(None, table["label"].to_pylist()))


def _tables(store: Store, place: str) -> list[str]:
    return sorted(name for name in store.names(f"{place}/") if parts.is_part(name))


def _count_rows(store: Store, gone: set[str], *, refit: bool) -> dict[str, int]:
    """Return the files with rows of these photos and the number of rows in each. Checks every table on the way."""
    names = [name for place in (PART_REJECTS, REDUCED, FEATURES) for name in _tables(store, place)] + [REJECTS]
    counts = each(store, lambda name: sum(path in gone for path in _paths(store, name)), names)
    found = dict(zip(names, counts, strict=True))
    usable = sum(rows for name, rows in found.items() if kind(name) == FEATURES)
    if usable + found[REJECTS] != len(gone):
        raise damaged(store, reason="its tables don't agree.")
    count_changes = {
        name.replace(PART_REJECTS, FEATURES) for name, n in found.items() if n and kind(name) == PART_REJECTS
    }
    files = {
        name: rows for name, rows in found.items() if rows or name in count_changes or (refit and kind(name) == REDUCED)
    }
    return files | ({manifest.NAME: len(gone)} if gone else {})


def _paths(store: Store, name: str) -> list[str]:
    column = COLUMNS.get(kind(name))
    try:
        if column is None:
            return [reject.path for reject in parts.read_rejects(store, name)]
        return parts.read_vectors(store, name, column).paths
    except DamagedPartError as error:
        raise OutputError(
            error.message, "Run the command that made the run again first: it repairs the part."
        ) from None


def _rewrite_one(store: Store, name: str, journal: Journal) -> None:
    """Remove the rows from one table, unless that was done before."""
    column = COLUMNS.get(kind(name))
    if column is None:
        rejects = parts.read_rejects(store, name)
        kept = [reject for reject in rejects if not journal.has(reject.path)]
        if len(kept) < len(rejects):
            parts.write_rejects(store, name, kept)
        return
    part = parts.read_vectors(store, name, column)
    stays = np.array([i for i, path in enumerate(part.paths) if not journal.has(path)], dtype=np.intp)
    n_rejects = _rejects_of(store, name, part) if kind(name) == FEATURES else part.rejects
    if len(stays) == len(part.paths) and n_rejects == part.rejects:
        return
    paths, labels = [part.paths[i] for i in stays], [part.labels[i] for i in stays]
    warned = {row: part.warnings[i] for row, i in enumerate(stays.tolist()) if i in part.warnings}
    parts.write_vectors(store, name, column, Part(paths, labels, part.values[stays], n_rejects, warned))


def _rejects_of(store: Store, name: str, part: Part) -> int:
    if not part.rejects:
        return 0
    return len(parts.read_rejects(store, name.replace(FEATURES, PART_REJECTS, 1)))


def _record_after(
    record: dict[str, Any], left: Manifest, fingerprints: dict[str, str], files: dict[str, int], total: int
) -> dict[str, Any]:
    images, rejected = record["images"], files.get(REJECTS, 0)
    featurized = images["featurized"] - sum(rows for name, rows in files.items() if kind(name) == FEATURES)
    counted = {"images": left.images, "bytes": left.bytes, "labels": left.labels, "manifest_sha256": left.sha256}
    return record | {
        "fingerprints": fingerprints,
        "input": record["input"] | counted,
        "images": images
        | {
            "featurized": featurized,
            "rejected": images["rejected"] - rejected,
            "resumed": min(images["resumed"], featurized),
        },
        "erased": total,
    }
