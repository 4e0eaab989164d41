"""The tasks, and what they tell the driver. They carry URIs and options, never a client or a secret."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from fruitscale.config.schema import Images, Storage
from fruitscale.uris import is_s3, local_path


class SharedBytes(Protocol):
    """Bytes that the driver shared with every worker."""

    def value(self) -> bytes:
        """Return them, in a worker."""
        ...


@dataclass(frozen=True)
class Job:
    """What all tasks of a run have in common."""

    run_id: str
    input_uri: str
    output_uri: str
    storage: Storage
    images: Images
    manifest: str
    manifest_sha256: str
    model_sha256: str
    precision: str
    input_size: int
    features: int
    shard_images: int
    fresh: bool = False
    """No part was there when the run began."""


@dataclass(frozen=True)
class Shard:
    """The manifest's rows from `start` to `stop`, which make one part."""

    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class ShardBatch:
    """Stage 1: make the features of some shards, one after the other."""

    job: Job
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class PartGroup:
    """Stage 2: the moments of the parts from `start` to `stop`."""

    job: Job
    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class ProjectionTask:
    """Stage 3: the scores of the parts from `start` to `stop`; `pca` names the fitted components, which are shared."""

    job: Job
    start: int
    stop: int
    pca: str


@dataclass(frozen=True)
class FolderProbe:
    """A look at whether a worker sees the driver's folders."""

    input_uri: str
    output_file: str


@dataclass
class ShardReport:
    """What stage 1 tells of a shard: counts of images, seconds by step, and the worker that did it."""

    index: int
    featurized: int = 0
    rejected: int = 0
    resumed: bool = False
    loaded: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    reads_retried: int = 0
    writes_retried: int = 0
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


def sees_folders(probe: FolderProbe, _: SharedBytes | None) -> tuple[bool, bool]:
    """Tell whether this worker sees the input folder and a file in the output folder; what is on S3 it does."""
    sees_input = is_s3(probe.input_uri) or local_path(probe.input_uri).is_dir()
    return sees_input, is_s3(probe.output_file) or local_path(probe.output_file).is_file()
