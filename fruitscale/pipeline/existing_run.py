"""Decides what becomes of a run that the output folder already holds: verify, resume, refit, replace or refuse."""

from __future__ import annotations

from fruitscale.errors import FruitscaleError, OutputError
from fruitscale.runs import parts, run_folder
from fruitscale.runs.fingerprints import differences
from fruitscale.runs.journal import check_finished
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.parts import DamagedPartError
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder, RunPlan


def settle_existing(folder: RunFolder, plan: RunPlan, photos: Manifest, *, overwrite: bool) -> RunRecord | None:
    """Make the folder ready for a run; return the record of a complete, intact run with the same plan, if it holds one.

    Parts whose features fingerprint is the same are kept. Raises OutputError if the folder holds another run and
    `overwrite` is false, or an unfinished erasure.
    """
    check_finished(folder.store)  # even with overwrite: the journal knows which old versions must still be purged
    old = folder.read_plan()
    if old is None or old.fingerprints["features"] != plan.fingerprints["features"]:
        _replace(folder, old, plan, photos, overwrite=overwrite)
    elif old.fingerprints["pca"] == plan.fingerprints["pca"]:
        record = folder.read_record()
        if record is not None and _is_intact(folder, photos, plan):
            return record
        folder.uncommit()
    else:
        folder.uncommit()
        folder.clear_reduced()
    folder.sweep()
    folder.write_plan(plan)
    return None


def _replace(folder: RunFolder, old: RunPlan | None, plan: RunPlan, photos: Manifest, *, overwrite: bool) -> None:
    if not overwrite:
        if old is not None:
            raise OutputError(
                f"{folder.store.uri} holds another run: {differences(folder, old, plan, photos)}.",
                "Choose another --output, or replace it with --overwrite.",
            )
        if folder.has_parts():
            raise OutputError(
                f"{folder.store.uri} holds parts of a run without its plan (_run/plan.json).",
                "Choose another --output, or replace it with --overwrite.",
            )
    folder.clear()


def _is_intact(folder: RunFolder, photos: Manifest, plan: RunPlan) -> bool:
    """Check every part of a complete run. A damaged or missing part makes the run incomplete, so it is written again."""
    n_parts = -(-photos.images // int(plan.features["shards.images"]))
    intact = folder.has_tables()
    for index in range(n_parts):
        for place, column in ((run_folder.FEATURES, "features"), (run_folder.REDUCED, "components")):
            try:
                parts.read_vectors(folder.store, parts.name(place, index), column)
            except (DamagedPartError, FruitscaleError):
                intact = False
    return intact
