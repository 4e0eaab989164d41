"""Decides what becomes of a run that the output folder already holds: verify, resume, repair, refit, replace or refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fruitscale.config.schema import Output
from fruitscale.errors import MissingObjectError, OutputError
from fruitscale.pipeline.changed_photos import check_removed, earlier_parts
from fruitscale.runs.fingerprints import differences
from fruitscale.runs.journal import check_finished
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.parts import sha256
from fruitscale.runs.record import RunRecord
from fruitscale.runs.replacement import NEXT, Destination, clear_next, next_folder, reserve
from fruitscale.runs.run_folder import PLAN, RECORD, RunFolder, RunPlan
from fruitscale.stages import EarlierParts
from fruitscale.storage.store import each

Action: TypeAlias = Literal["keep", "resume", "repair", "refit", "replace", "update", "clear"]
SHOWN = 5
"""Files that a message names."""


@dataclass(frozen=True)
class ExistingRun:
    """What is done with the run in the output; nothing has been changed yet.

    keep: it is complete and intact. resume: its parts are kept. repair: it is complete, but `damaged` files are written
    again. refit: its features are kept. replace: it is kept until the new run is complete. update: likewise, and the features
    of unchanged photos are taken from it. clear: it is removed first.
    """

    action: Action
    record: RunRecord | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Damaged, missing or foreign files, each with the reason."""
    earlier: Mapping[int, EarlierParts] = field(default_factory=dict)
    """With update: for each shard, the parts that hold features of its photos."""
    changes: str = ""
    """With update: what changed, in words."""

    @property
    def warning(self) -> str | None:
        """What is repaired, in words."""
        names = [f"{name} ({reason})" for name, reason in self.damaged.items()]
        shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
        return f"The run in the output is repaired: {shown}." if names else None


def inspect(folder: RunFolder, plan: RunPlan, photos: Manifest, output: Output) -> ExistingRun:
    """Return what is to be done with the run in a folder, and change nothing.

    Raises OutputError if it is another run and may not be replaced, or holds an unfinished erasure.
    """
    check_finished(folder.store)  # even with overwrite: the journal knows which old versions must still be purged
    torn: dict[str, str] = {}
    old, record = _read_undamaged(folder, torn)
    prints = old.fingerprints if old is not None else None
    if prints is None and record is not None:
        prints = record.fingerprints.model_dump()
    replaced: Action = "replace" if record is not None and output.keep_old else "clear"
    if prints is None or prints["features"] != plan.fingerprints["features"]:
        if old is not None and (earlier := earlier_parts(folder, old, record, plan, photos)):
            if record is not None and not output.overwrite:
                check_removed(folder, old, plan, record.input.images, photos.images)
            return ExistingRun("update", record, earlier=earlier, changes=differences(folder, old, plan, photos))
        is_empty = record is not None and not record.input.images and not record.erased  # then nothing can be lost
        if not output.overwrite and not is_empty:
            _refuse(folder, old, plan, photos)
        return ExistingRun(replaced, record)
    if prints["pca"] != plan.fingerprints["pca"]:
        return ExistingRun("refit" if replaced == "replace" else "resume", record)
    if record is None:
        return ExistingRun("resume", damaged=torn)
    damaged = _damaged_files(folder, record)
    return ExistingRun("repair" if damaged else "keep", record, damaged)


def kept_kinds(existing: ExistingRun, folder: RunFolder, plan: RunPlan) -> tuple[str, ...]:
    """Return the kinds of CPU of the features that will be kept."""
    kinds: list[str] = []
    if existing.action in ("resume", "repair", "refit", "update") and folder.has_parts():
        old, _ = _read_undamaged(folder)
        kinds += old.cpu_kinds if old is not None else ()
    if existing.action in ("replace", "update"):
        new, _ = _read_undamaged(next_folder(folder.store))
        is_resumed = new is not None and new.fingerprints["features"] == plan.fingerprints["features"]
        kinds += new.cpu_kinds if new is not None and is_resumed else ()
    return tuple(dict.fromkeys(kinds))


def make_ready(existing: ExistingRun, folder: RunFolder, plan: RunPlan) -> Destination:
    """Make room for the run, and return where it writes. A complete run stays as it is until the new one replaces it."""
    beside = next_folder(folder.store)
    destination = Destination(folder, folder)
    if existing.action in ("replace", "update"):
        destination = Destination(beside, beside, NEXT, NEXT)
    elif existing.action == "refit":
        destination = Destination(folder, beside, results_folder=NEXT)
    if destination.is_beside:
        _clear_unless_resumed(folder, beside, plan)
        reserve(folder.store)
    else:
        _clear_in_place(existing, folder, plan)
        clear_next(folder.store)
    folder.sweep()
    destination.results.write_plan(plan)
    return destination


def _clear_in_place(existing: ExistingRun, folder: RunFolder, plan: RunPlan) -> None:
    if existing.action == "clear":
        folder.clear()
        return
    folder.uncommit()
    for name in existing.damaged:
        folder.store.delete(name)
    old, _ = _read_undamaged(folder)
    if old is not None and old.fingerprints["pca"] != plan.fingerprints["pca"]:
        folder.clear_reduced()


def _clear_unless_resumed(folder: RunFolder, beside: RunFolder, plan: RunPlan) -> None:
    """Keep the features of an unfinished replacement by the same run."""
    old, _ = _read_undamaged(beside)
    if old is None or old.fingerprints["features"] != plan.fingerprints["features"]:
        clear_next(folder.store)
    elif old.fingerprints["pca"] != plan.fingerprints["pca"]:
        beside.clear_reduced()


def _read_undamaged(folder: RunFolder, torn: dict[str, str] | None = None) -> tuple[RunPlan | None, RunRecord | None]:
    """Return plan and record, each None if it is missing or damaged; add the damaged ones to `torn`."""
    plan: RunPlan | None = None
    record: RunRecord | None = None
    torn = {} if torn is None else torn
    try:
        plan = folder.read_plan()
    except OutputError:
        torn[PLAN] = "damaged"
    try:
        record = folder.read_record()
    except OutputError:
        torn[RECORD] = "damaged"
    return plan, record


def _refuse(folder: RunFolder, old: RunPlan | None, plan: RunPlan, photos: Manifest) -> None:
    """Raise OutputError if the folder holds a run, or parts of one."""
    if old is not None:
        problem = f"holds another run: {differences(folder, old, plan, photos)}"
    elif folder.part_names():
        problem = "holds parts of a run without its plan (_run/plan.json)"
    else:
        return
    raise OutputError(f"{folder.store.uri} {problem}.", "Choose another --output, or replace the run with --overwrite.")


def _damaged_files(folder: RunFolder, record: RunRecord) -> dict[str, str]:
    """Return the files that are not what a complete run wrote, each with the reason."""

    def reason(name: str) -> str | None:
        try:
            return None if sha256(folder.store.read(name)) == record.files[name] else "damaged"
        except MissingObjectError:
            return "missing"

    reasons = dict(zip(record.files, each(folder.store, reason, list(record.files)), strict=True))
    foreign = [name for name in folder.part_names() if name not in record.files]
    damaged = {name: reason for name, reason in reasons.items() if reason is not None}
    return damaged | dict.fromkeys(sorted(foreign), "not of this run")
