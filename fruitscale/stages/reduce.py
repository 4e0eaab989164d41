"""Stages 2 and 3: moments of features, and their scores."""

from __future__ import annotations

from fruitscale.kernels.moments import Components, PackedMoments, moments_of, project
from fruitscale.stages.tasks import Group, Payload, Projection
from fruitscale.storage import lock, parts, run_folder
from fruitscale.storage.parts import Part
from fruitscale.storage.store import open_store

_fitted: dict[str, Components] = {}


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
    lock.check_held(output, task.job.run_id)
    parts.write_vectors(output, parts.name(run_folder.REDUCED, task.index), "components", scores)
    return task.index


def _components(name: str, shared: Payload) -> Components:
    if name not in _fitted:  # one per worker process: a run has one PCA
        _fitted.clear()
        _fitted[name] = Components.from_bytes(shared.value())
    return _fitted[name]
