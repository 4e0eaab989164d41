"""The tasks, and the reports they return. They carry URIs and options, never a client or a secret."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from fruitscale.config.schema import Images, Storage
from fruitscale.kernels.backbone import Execution
from fruitscale.uris import is_s3, local_path


class SharedBytes(Protocol):
    """Bytes that the driver shared with every worker."""

    def value(self) -> bytes:
        """Return the bytes, in a worker."""
        ...


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share."""

    run_id: str
    input_uri: str
    output_uri: str
    storage: Storage
    images: Images
    manifest: str
    manifest_sha256: str
    model_sha256: str
    execution: Execution
    input_size: int
    features: int
    shard_images: int
    features_folder: str = ""
    """Where the features are, within the output: empty unless they replace those of a complete run."""
    results_folder: str = ""
    """Where the manifest and the scores are, within the output: empty unless they replace those of a complete run."""
    is_refit: bool = False
    """The features are those of a complete run, which is kept: rejects are not read again."""
    fresh: bool = False
    """The run folder had no parts when the run began."""
    only_cpu: str | None = None
    """The kind of CPU of the parts that exist, if no other may be mixed with it (model.cpu: same)."""
    crop: float | None = None
    """The fraction of a photo's shorter side that is kept; None: the whole photo is stretched to a square."""


@dataclass(frozen=True)
class EarlierParts:
    """The parts of the run that is replaced which hold features of a shard's photos, except of the `changed` ones.

    `checksums` has the sha256 of each part by its index, as in that run's run.json; None if it has none.
    """

    checksums: dict[int, str | None]
    changed: frozenset[str]


@dataclass(frozen=True)
class Shard:
    """The manifest rows from `start` to `stop`, which become one part."""

    index: int
    start: int
    stop: int
    earlier: EarlierParts | None = None


@dataclass(frozen=True)
class ShardBatch:
    """Stage 1: write the features of some shards, one after another."""

    job: Job
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class PartGroup:
    """Stage 2: compute the moments of the parts from `start` to `stop`."""

    job: Job
    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class ProjectionTask:
    """Stage 3: write the scores of the parts from `start` to `stop`; `pca` identifies the shared components."""

    job: Job
    start: int
    stop: int
    pca: str


@dataclass(frozen=True)
class FolderProbe:
    """Checks whether a worker sees the driver's folders."""

    input_uri: str
    output_file: str


@dataclass
class ShardReport:
    """The result of stage 1 for a shard: counts of images, and seconds by step."""

    index: int
    featurized: int = 0
    rejected: int = 0
    absent: int = 0
    """Rejects that were gone or different when they were read: they may come back."""
    resumed: bool = False
    reused: int = 0
    """Photos whose features are those of the run that is replaced."""
    damaged: bool = False
    """There was a part, but it was damaged or held other photos."""
    loaded: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    reads_retried: int = 0
    writes_retried: int = 0
    rss_mb: float = 0.0
    cpu: str = ""
    """The kind of CPU that computed features; empty if none were computed."""
    files: dict[str, str] = field(default_factory=dict)
    """The sha256 of the shard's parts, by name."""
    warnings: dict[str, int] = field(default_factory=dict)
    """Numbers of photos that were read with a warning, by fault."""
    crashed: list[str] = field(default_factory=list)
    """The photos that killed their decoder, as the run names them."""

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


def sees_folders(probe: FolderProbe, _: SharedBytes | None) -> tuple[bool, bool]:
    """Return whether this worker sees the input folder, and a file in the output folder; S3 counts as seen."""
    sees_input = is_s3(probe.input_uri) or local_path(probe.input_uri).is_dir()
    return sees_input, is_s3(probe.output_file) or local_path(probe.output_file).is_file()
