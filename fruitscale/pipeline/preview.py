"""Previews a run (--dry-run): lists the photos and inspects the output, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from fruitscale.config.schema import Config
from fruitscale.display.events import Event
from fruitscale.display.formatting import counted
from fruitscale.engines import registry
from fruitscale.model import exported_model
from fruitscale.pipeline import existing_run, precision_advice
from fruitscale.pipeline.input_listing import check_uris, list_input
from fruitscale.pipeline.progress import RunProgress
from fruitscale.pipeline.run import settle_storage
from fruitscale.pipeline.run_model import RunModels
from fruitscale.runs.fingerprints import make_plan, shard_images
from fruitscale.runs.fitted_pca import configured_pca
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.run_folder import RECORD, RunFolder
from fruitscale.storage.residency import StorageAccess


@dataclass(frozen=True)
class Preview:
    """What a run would do; `components` describes their source, `state` the current output, in words.

    `warnings` are problems that would not fail the run.
    """

    images: int
    bytes: int
    labels: int
    shards: int
    shard_images: int
    architecture: str
    weights: str
    runtime: str
    precision: str
    components: str
    engine: str
    slots: int
    output: str
    state: str
    not_taken: dict[str, int]
    archived: dict[str, int]
    shared_labels: int
    warnings: tuple[str, ...] = ()
    advice: str | None = None
    """What would make the run faster, in words."""


def preview(config: Config, access: StorageAccess) -> Preview:
    """List the photos and inspect the output. Raises what a run would raise."""
    check_uris(config)
    config, _ = settle_storage(config, access)
    warnings: list[str] = []
    photos = list_input(config, access, RunProgress("preview", lambda event: warnings.extend(_warning_of(event))))
    step = shard_images(config, photos.images)
    folder = RunFolder(access.open(config.output.uri))
    return Preview(
        images=photos.images,
        bytes=photos.bytes,
        labels=photos.labels,
        shards=-(-photos.images // step),
        shard_images=step,
        architecture=config.model.architecture,
        weights=str(config.model.file or "file") if config.model.architecture == "file" else config.model.weights,
        runtime=config.model.runtime,
        precision=config.model.precision,
        components=f"those of {config.pca.run}" if config.pca.run is not None else f"{config.pca.components}, fitted",
        engine=config.engine,
        slots=registry.slots(config),
        output=config.output.uri,
        state=_state(folder, config, access, photos),
        not_taken=photos.account.counts(),
        archived=dict(photos.account.archived),
        shared_labels=len(photos.account.shared_labels),
        warnings=tuple(warnings),
        advice=None if _is_elsewhere(config) else precision_advice.here(config),
    )


def _is_elsewhere(config: Config) -> bool:
    """Return whether the run is for other machines than this one."""
    is_remote = not (config.spark.master or "local").startswith("local") or config.dask.scheduler is not None
    return config.cluster is not None or is_remote


def _warning_of(event: Event) -> list[str]:
    return [event.warning] if event.warning else []


def _state(folder: RunFolder, config: Config, access: StorageAccess, photos: Manifest) -> str:
    """Return a description of what the output holds and what would happen to it. Raises what the run would raise."""
    if not folder.store.exists(RECORD) and folder.read_plan() is None:
        return "no run yet"
    applied = configured_pca(config, access)
    models = RunModels(config, access, folder, lambda: photos, applied)
    if not exported_model.is_cached(config.model):
        return "a run; export the model first to see whether it would be kept (fruitscale model export)"
    is_calibrated = config.model.precision == "int8" and config.model.exported is None
    exported = models.kept() if is_calibrated else models.find()
    if exported is None:
        return "another run: it has no int8 model of these settings, and would be replaced only with --overwrite"
    plan = make_plan(config, photos, exported, None if applied is None else applied.facts)
    existing = existing_run.inspect(folder, plan, photos, config.output)
    parts = len(folder.part_names())
    return {
        "keep": "this run, complete: it would be verified and left unchanged",
        "resume": f"this run, unfinished: it would resume, and keep {counted(parts, 'part')}",
        "repair": f"this run, with damage: it would be repaired. {existing.warning}",
        "refit": "a run with the same features: they would be kept, and the PCA fitted again",
        "replace": "another run: it would be replaced once the new one is complete",
        "update": f"this run, with other photos: {existing.changes}; the features of the others would be kept",
        "clear": "another run: it would be removed first",
    }[existing.action]
