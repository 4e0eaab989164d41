"""Fingerprints: what a run's parts depend on, and how two runs differ."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from fruitscale.config.schema import Config
from fruitscale.config.version import __version__
from fruitscale.errors import MissingObjectError
from fruitscale.model.exported_model import ExportedModel
from fruitscale.runs import manifest
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.run_folder import RunFolder, RunPlan

LEAST_IMAGES, MOST_IMAGES, SHARDS = 64, 4096, 1000
SHOWN = 3
"""Examples in a message."""
APPLIED = "pca.run"
"""The plan's key for applied components: the sha256 of the earlier run's pca.npz."""
COMPARABLE = (
    "model.architecture", "model.weights", "model.input_size", "model.runtime", "model.precision", "images.exif_orientation",
    "model.preprocess", "model.output",
)  # fmt: skip
"""Settings that must be equal for the features of two runs to be comparable."""


def shard_images(config: Config, n_images: int) -> int:
    """Return the number of images per shard. It never depends on the machine, so parts don't either."""
    if config.shards.images != "auto":
        return config.shards.images
    return min(max(-(-n_images // SHARDS), LEAST_IMAGES), MOST_IMAGES)


def make_plan(
    config: Config, photos: Manifest, exported: ExportedModel, applied: Mapping[str, Any] | None = None
) -> RunPlan:
    """Return the plan of a run: everything its features and its PCA depend on, hashed.

    `applied` replaces the PCA settings if the components come from an earlier run.
    """
    features: dict[str, Any] = {
        "photos": photos.sha256,
        "versions": photos.versions_sha256,
        "shards.images": shard_images(config, photos.images),
        "output.paths": config.output.paths,
        "the key of output.paths": photos.path_key,
        "images.max_pixels": config.images.max_pixels,
        "images.max_decode_mb": config.images.max_decode_mb,
        "images.max_bytes": config.images.max_bytes,
        "images.exif_orientation": config.images.exif_orientation,
        "model.architecture": exported.architecture,
        "model.weights": exported.weights_sha256,
        "model.sha256": exported.sha256,
        "model.input_size": exported.input_size,
        "model.runtime": exported.runtime,
        "model.precision": config.model.precision,
        "model.photos_per_call": config.model.photos_per_call,
        "model.cpu": "portable" if config.model.cpu == "portable" else "native",
        "OpenVINO's version": version("openvino"),
        "fruitscale's version": __version__,
        "the CPU architecture": platform.machine(),
    }
    if exported.architecture == "file":  # other networks have neither
        features |= {"model.preprocess": exported.preprocess, "model.output": exported.output}
    pca = applied or {"pca.components": config.pca.components, "pca.standardize": config.pca.standardize}
    prints = {"features": _digest(features), "pca": _digest(features | dict(pca))}
    return RunPlan(prints, features, pca, config.model_dump(mode="json"))


def plan_after_erasing(plan: RunPlan, photos: Manifest, n_erased: int) -> RunPlan:
    """Return the plan of a run reduced to `photos`. No new run has the same fingerprints."""
    facts = {"photos": photos.sha256, "versions": photos.versions_sha256, "erased": n_erased}
    features = {**plan.features, **facts}
    prints = {"features": _digest(features), "pca": _digest(features | dict(plan.pca))}
    return replace(plan, fingerprints=prints, features=features)


def model_differences(old: RunPlan, new: RunPlan) -> str:
    """Return in words why the features of two runs are not comparable; empty if they are."""
    changed = [key for key in COMPARABLE if old.features.get(key) != new.features.get(key)]
    reasons = [
        f"{key} was {old.features.get(key)!r}, is {new.features.get(key)!r}"
        for key in changed
        if key != "model.weights"
    ]
    if "model.weights" in changed:
        reasons.append("the weights differ (sha256 {:.12}, was {:.12})".format(*_weights(new), *_weights(old)))
    is_int8 = new.features.get("model.precision") == "int8"
    if is_int8 and not reasons and old.features.get("model.sha256") != new.features.get("model.sha256"):
        reasons.append("the int8 models differ: each was calibrated on its own photos")
    return "; ".join(reasons)


def _weights(plan: RunPlan) -> tuple[str]:
    return (str(plan.features.get("model.weights")),)


def differences(folder: RunFolder, old: RunPlan, new: RunPlan, photos: Manifest) -> str:
    """Return in words why the features of two runs differ."""
    changed = [key for key in new.features if old.features.get(key) != new.features[key]]
    reasons = [
        f"{key} was {old.features.get(key)!r}, is {new.features[key]!r}"
        for key in changed
        if key not in ("photos", "versions", "model.sha256", "model.weights")
    ]
    if {"photos", "versions"} & set(changed):
        reasons.insert(0, _photo_differences(folder, photos))
    if not reasons and {"model.sha256", "model.weights"} & set(changed):
        reasons.append("the model's weights")
    erased = old.features.get("erased")
    if erased:
        reasons.insert(0, f"{erased} photo{'s were' if erased != 1 else ' was'} erased from it")
    return "; ".join(reasons)


def _photo_differences(folder: RunFolder, photos: Manifest) -> str:
    try:
        before, now = (_rows(table) for table in (manifest.read(folder.store), photos.table))
    except MissingObjectError:  # the run stopped between its plan and its manifest
        return "the photos"
    counts = {
        "new": now.keys() - before.keys(),
        "gone": before.keys() - now.keys(),
        "changed": {path for path in now.keys() & before.keys() if now[path] != before[path]},
    }
    changes = []
    for word, paths in counts.items():
        if paths:
            names = ", ".join(sorted(paths)[:SHOWN]) + (", …" if len(paths) > SHOWN else "")
            changes.append(f"{len(paths)} photo{'s' * (len(paths) != 1)} {word} since ({names})")
    return "; ".join(changes) or "the photos"


def _rows(table: Any) -> dict[str, tuple[Any, ...]]:  # noqa: ANN401  pyarrow has no types
    columns = [column.to_pylist() for column in table.columns]
    return {path: rest for path, *rest in zip(*columns, strict=True)}  # type: ignore[misc]


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
