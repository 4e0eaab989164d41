"""Stages 2 and 3: moments of features, and their scores.

On S3, parts are read and written while the current one is processed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from fruitscale.kernels.moments import Components, Moments, moments_of, project
from fruitscale.runs import parts, run_folder
from fruitscale.runs.parts import Part
from fruitscale.stages.tasks import Job, PartGroup, ProjectionTask, SharedBytes
from fruitscale.storage import lock
from fruitscale.storage.read_ahead import ReadAhead
from fruitscale.storage.store import Store, StoreView, open_store
from fruitscale.uris import is_s3

REQUESTS = 8
"""Parts read, and parts written, concurrently: a request takes as long as processing ten parts."""

_fitted: dict[str, Components] = {}


class _PartFile(NamedTuple):
    number: int
    size: int


def group_moments(group: PartGroup, _: SharedBytes | None) -> tuple[int, Moments]:
    """Return the group's index and the moments of its features. Raises DamagedPartError."""
    output = open_store(group.job.output_uri, group.job.storage)
    folder = StoreView(output, group.job.features_folder)
    features = (part.values for _, part in _features(folder, group.job, range(group.start, group.stop)))
    return group.index, moments_of(features, group.job.features)


def project_parts(task: ProjectionTask, shared: SharedBytes | None) -> dict[str, str]:
    """Write the scores of some parts; return the sha256 of each, by name. Raises DamagedPartError or StorageError."""
    assert shared is not None
    fitted = _components(task.pca, shared)
    output = lock.fenced(open_store(task.job.output_uri, task.job.storage), task.job.run_id)
    features, results = StoreView(output, task.job.features_folder), StoreView(output, task.job.results_folder)

    def write(index: int, part: Part) -> tuple[str, str]:
        name = parts.name(run_folder.REDUCED, index)
        scores = Part(part.paths, part.labels, project(part.values, fitted))
        return name, parts.write_vectors(results, name, "components", scores)

    indices = range(task.start, task.stop)
    if not is_s3(task.job.output_uri):
        return dict(write(*read) for read in _features(features, task.job, indices))
    with ThreadPoolExecutor(REQUESTS, "write") as writers:
        writes = [writers.submit(write, *read) for read in _features(features, task.job, indices)]
        return dict(written.result() for written in writes)


def _features(output: Store, job: Job, indices: range) -> Iterator[tuple[int, Part]]:
    """Read the features of some parts, in order. Raises DamagedPartError."""

    def read(file: _PartFile) -> Part:
        return parts.read_vectors(output, parts.name(run_folder.FEATURES, file.number), "features")

    files = [_PartFile(index, job.shard_images * job.features * 4) for index in indices]
    if is_s3(job.output_uri):
        return ((file.number, part) for file, part in ReadAhead(read, files, REQUESTS))
    return ((file.number, read(file)) for file in files)  # a disk is faster than a thread


def _components(name: str, shared: SharedBytes) -> Components:
    if name not in _fitted:  # one per worker process: a run has one PCA
        _fitted.clear()
        _fitted[name] = Components.from_bytes(shared.value())
    return _fitted[name]
