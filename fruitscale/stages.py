"""What a worker does with one task. Every part's name and content depend on its task alone."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fruitscale.config import Images, Storage
from fruitscale.errors import ChangedObjectError, InputError, MissingObjectError, StorageError
from fruitscale.kernels import backbone, images
from fruitscale.kernels.moments import Components, PackedMoments, moments_of, project
from fruitscale.storage import manifest, parts, run_folder
from fruitscale.storage.listing import UNADDRESSABLE, Photo
from fruitscale.storage.parts import DamagedPartError, Part, Reject
from fruitscale.storage.store import Store, local_path, open_store

BATCH = 8
"""Images decoded before they are inferred together."""


class Payload(Protocol):
    """Bytes that the driver shared with every worker."""

    def value(self) -> bytes:
        """Return them, in a worker."""
        ...


@dataclass(frozen=True)
class Job:
    """What all tasks of a run have in common: URIs and options, never a client or a secret."""

    input_uri: str
    output_uri: str
    storage: Storage
    images: Images
    manifest_sha256: str
    model_sha256: str
    precision: str
    input_size: int
    features: int


@dataclass(frozen=True)
class Shard:
    """Stage 1: make the features of the manifest's rows from `start` to `stop`."""

    job: Job
    index: int
    start: int
    stop: int


@dataclass
class Report:
    """What a task tells the driver: counts of images, seconds by step, and the worker that did it."""

    index: int
    featurized: int = 0
    rejected: int = 0
    resumed: bool = False
    loaded: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    worker: str = field(default_factory=lambda: f"{platform.node()}:{os.getpid()}")
    rss_mb: float = 0.0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Group:
    """Stage 2: the moments of the parts from `start` to `stop`."""

    job: Job
    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class Projection:
    """Stage 3: the scores of one part; `pca` names the fitted components, which are shared."""

    job: Job
    index: int
    pca: str


@dataclass(frozen=True)
class Probe:
    """A look at whether a worker sees the driver's folders."""

    input_uri: str
    output_file: str


def featurize_shard(shard: Shard, shared: Payload | None) -> Report:
    """Read, decode, resize and infer the photos of a shard, and write its part; one that is there already is kept.

    Raises InputError when a photo can't be used and `images.on_error` is fail, StorageError when it can't be read.
    """
    job, report = shard.job, Report(shard.index)
    output = open_store(job.output_uri, job.storage)
    if not _resume(output, report):
        rejects: list[Reject] = []
        photos = manifest.read_rows(output, shard.start, shard.stop, job.manifest_sha256)
        kept, features = _featurize(job, photos, rejects, report, shared)
        with report.timed("write"):
            _write_shard(output, shard.index, kept, features, rejects)
        report.featurized, report.rejected = len(kept), len(rejects)
    report.rss_mb = peak_rss_mb()
    return report


def group_moments(group: Group, _: Payload | None) -> tuple[int, PackedMoments]:
    """Return the group's index and the moments of its features, each part checked. Raises DamagedPartError."""
    output = open_store(group.job.output_uri, group.job.storage)
    names = (parts.name(run_folder.FEATURES, i) for i in range(group.start, group.stop))
    features = (parts.read_vectors(output, name, "features").values for name in names)
    return group.index, moments_of(features, group.job.features).packed()


def project_part(task: Projection, shared: Payload | None) -> int:
    """Write the scores of a part; return its index. Raises DamagedPartError or StorageError."""
    assert shared is not None
    fitted = _components(task.pca, shared)
    output = open_store(task.job.output_uri, task.job.storage)
    part = parts.read_vectors(output, parts.name(run_folder.FEATURES, task.index), "features")
    scores = Part(part.paths, part.labels, project(part.values, fitted))
    parts.write_vectors(output, parts.name(run_folder.REDUCED, task.index), "components", scores)
    return task.index


def sees_folders(probe: Probe, _: Payload | None) -> tuple[bool, bool]:
    """Tell whether this worker sees the input folder and a file in the output folder."""
    return local_path(probe.input_uri).is_dir(), local_path(probe.output_file).is_file()


def peak_rss_mb() -> float:
    """Return this process's peak resident memory in MB of 10^6 bytes.

    VmHWM: `ru_maxrss` of a spawned child starts at its parent's peak.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _resume(output: Store, report: Report) -> bool:
    name = parts.name(run_folder.FEATURES, report.index)
    try:
        part = parts.read_vectors(output, name, "features")
    except MissingObjectError:
        return False
    except DamagedPartError:
        output.delete(name)
        return False
    report.featurized, report.rejected, report.resumed = len(part.paths), part.rejects, True
    return True


def _featurize(
    job: Job, photos: list[Photo], rejects: list[Reject], report: Report, shared: Payload | None
) -> tuple[list[Photo], NDArray[np.float32]]:
    kept: list[Photo] = []
    batches: list[NDArray[np.float32]] = [np.empty((0, job.features), np.float32)]
    pixels: list[NDArray[np.uint8]] = []

    def infer() -> None:
        model = _model(job, report, shared)
        with report.timed("infer"):
            batches.append(model.infer(np.stack(pixels)))
        pixels.clear()

    for photo, content in _contents(job, photos, report):
        with report.timed("decode"):
            image = _decode(job, content)
        if isinstance(image, images.Rejection):
            _reject(job, photo, image, rejects)
            continue
        kept.append(photo)
        pixels.append(image)
        if len(pixels) == BATCH:
            infer()
    if pixels:
        infer()
    return kept, np.concatenate(batches)


def _contents(job: Job, photos: list[Photo], report: Report) -> Iterator[tuple[Photo, bytes | images.Rejection]]:
    source = open_store(job.input_uri, job.storage)
    for photo in photos:
        with report.timed("read"):
            content = _read(source, photo)
        yield photo, content


def _read(source: Store, photo: Photo) -> bytes | images.Rejection:
    if photo.version == UNADDRESSABLE:
        return images.Rejection("name", "its name can't be written as text")
    try:
        return source.read(photo.path, photo.version)
    except MissingObjectError:
        return images.Rejection("changed", "it is gone since it was listed")
    except ChangedObjectError:
        return images.Rejection("changed", "it changed since it was listed")
    except StorageError as error:
        raise InputError(error.message, "Mend that, then run the same command again: it resumes.") from None


def _decode(job: Job, content: bytes | images.Rejection) -> NDArray[np.uint8] | images.Rejection:
    if isinstance(content, images.Rejection):
        return content
    turn = job.images.exif_orientation == "apply"
    return images.decode(content, job.input_size, max_pixels=job.images.max_pixels, exif_orientation=turn)


def _reject(job: Job, photo: Photo, why: images.Rejection, rejects: list[Reject]) -> None:
    if job.images.on_error == "fail":
        raise InputError(
            f"{photo.path} can't be used: {why.reason}: {why.detail}.",
            "Mend or remove it, or set images.on_error to reject.",
        )
    rejects.append(Reject(photo.path, photo.label, why.reason, why.detail))


def _write_shard(
    output: Store, index: int, kept: list[Photo], features: NDArray[np.float32], rejects: list[Reject]
) -> None:
    if rejects:  # before the features part, which is the commit
        parts.write_rejects(output, parts.name(run_folder.PART_REJECTS, index), rejects)
    part = Part([p.path for p in kept], [p.label for p in kept], features, len(rejects))
    parts.write_vectors(output, parts.name(run_folder.FEATURES, index), "features", part)


def _model(job: Job, report: Report, shared: Payload | None) -> backbone.Backbone:
    assert shared is not None
    with report.timed("load"):
        model, loaded = backbone.cached(job.model_sha256, job.precision, shared.value)
    report.loaded |= loaded
    return model


_fitted: dict[str, Components] = {}


def _components(name: str, shared: Payload) -> Components:
    if name not in _fitted:  # one per worker process: a run has one PCA
        _fitted.clear()
        _fitted[name] = Components.from_bytes(shared.value())
    return _fitted[name]
