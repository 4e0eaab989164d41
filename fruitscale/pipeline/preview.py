"""Previews a run (--dry-run): lists the photos and inspects the output, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from fruitscale.config.schema import Config
from fruitscale.display.events import Event
from fruitscale.engines import registry
from fruitscale.pipeline.input_listing import check_uris, list_input
from fruitscale.pipeline.progress import RunProgress
from fruitscale.pipeline.run import settle_storage
from fruitscale.runs.fingerprints import shard_images
from fruitscale.runs.run_folder import FEATURES, RunFolder
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
        weights=config.model.weights,
        runtime=config.model.runtime,
        precision=config.model.precision,
        components=f"those of {config.pca.run}" if config.pca.run is not None else f"{config.pca.components}, fitted",
        engine=config.engine,
        slots=registry.slots(config),
        output=config.output.uri,
        state=_state(folder),
        not_taken=photos.account.counts(),
        archived=dict(photos.account.archived),
        shared_labels=len(photos.account.shared_labels),
        warnings=tuple(warnings),
    )


def _warning_of(event: Event) -> list[str]:
    return [event.warning] if event.warning else []


def _state(folder: RunFolder) -> str:
    if folder.read_record() is not None:
        return "a complete run"
    if folder.read_plan() is not None:
        done = sum(1 for _ in folder.store.names(f"{FEATURES}/"))
        return f"an unfinished run, {done} of its parts done"
    return "no run yet"
