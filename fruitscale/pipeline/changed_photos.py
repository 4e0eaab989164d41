"""Finds which photos are unchanged since the run that a new one replaces, so that their features are kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fruitscale.errors import FruitscaleError, OutputError
from fruitscale.runs import manifest, parts
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import FEATURES, RunFolder, RunPlan
from fruitscale.stages import EarlierParts

if TYPE_CHECKING:
    import pyarrow as pa

OF_PHOTOS = frozenset({"photos", "versions", "shards.images"})
"""What the features of one photo don't depend on."""
SAME_INPUT = ("list", "include", "exclude", "hidden", "limit", "new_since")
"""Settings that choose a run's photos from its input."""
FEWEST_REMOVED = 10


def earlier_parts(
    folder: RunFolder, old: RunPlan | None, record: RunRecord | None, new: RunPlan, photos: Manifest
) -> dict[int, EarlierParts]:
    """Return for each shard of a new run which parts of the run in the folder hold features of its photos.

    `record` is that of the run in the folder, if it is complete. The result is empty if the runs differ in more than their
    photos, if photos were erased from the earlier run, or if no photo is unchanged.
    """
    if old is None or _settings(old) != _settings(new):
        return {}
    try:
        table = manifest.read(folder.store)
    except FruitscaleError:
        return {}
    described = manifest.describe(table)
    if (described.sha256, described.versions_sha256) != (old.features.get("photos"), old.features.get("versions")):
        return {}
    rows = {path: (row, size, version) for row, (path, size, version) in enumerate(_columns(table))}
    old_step, step = int(old.features["shards.images"]), int(new.features["shards.images"])
    found: dict[int, tuple[set[int], set[str]]] = {}
    for row, (path, size, version) in enumerate(_columns(photos.table)):
        shards, changed = found.setdefault(row // step, (set(), set()))
        earlier = rows.get(path)
        if earlier is not None and earlier[1:] == (size, version):
            shards.add(earlier[0] // old_step)
        else:
            changed.add(path)
    files = record.files if record is not None else {}
    return {
        index: EarlierParts({i: files.get(parts.name(FEATURES, i)) for i in sorted(shards)}, frozenset(changed))
        for index, (shards, changed) in found.items()
        if shards
    }


def check_removed(folder: RunFolder, old: RunPlan, new: RunPlan, before: int, now: int) -> None:
    """Raise OutputError if many photos of a complete run are gone: part of the input may be missing."""
    given = new.config["input"]
    settings = json.loads(json.dumps({key: given[key] for key in SAME_INPUT}))
    earlier = old.config.get("input") or {}
    is_same = given["list"] is None and all(earlier.get(key) == value for key, value in settings.items())
    gone, most = before - now, given["max_removed_fraction"]
    if is_same and gone >= FEWEST_REMOVED and gone > most * before:
        raise OutputError(
            f"{gone} of the {before} photos of the run in {folder.store.uri} are gone from the input ({gone / before:.0%}), "
            f"more than input.max_removed_fraction ({most:g}). The run was left as it is.",
            "Check that the whole input is available (a share may not be mounted). If the photos were removed on purpose, add "
            "--set input.max_removed_fraction=1",
        )


def _settings(plan: RunPlan) -> dict[str, object]:
    return {key: value for key, value in plan.features.items() if key not in OF_PHOTOS}


def _columns(table: pa.Table) -> zip[tuple[str, int, str]]:
    return zip(*(table[name].to_pylist() for name in ("path", "size", "version")), strict=True)
