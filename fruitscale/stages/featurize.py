"""Stage 1: read, decode, resize and infer the photos of some shards, and write their parts.

Reads and writes overlap with inference: the next photos are read while the current ones are inferred, across the shards of
a task, and a part is written while the next shard is processed. A retry decodes in a child process: if a photo killed the
worker, it is found and becomes a reject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Images
from fruitscale.engines.base import is_retry
from fruitscale.errors import ChangedObjectError, InputError, MissingObjectError, StorageError
from fruitscale.kernels import backbone, images
from fruitscale.kernels.backbone import Backbone
from fruitscale.kernels.images import Rejection
from fruitscale.runs import manifest, parts, run_folder
from fruitscale.runs.parts import DamagedPartError, Part, Reject
from fruitscale.stages.careful_decoder import REASON as CRASHED
from fruitscale.stages.careful_decoder import CarefulDecoder
from fruitscale.stages.memory import peak_rss_mb
from fruitscale.stages.tasks import Job, Shard, ShardBatch, ShardReport, SharedBytes
from fruitscale.storage import lock
from fruitscale.storage.listing import UNADDRESSABLE, Photo
from fruitscale.storage.read_ahead import ReadAhead
from fruitscale.storage.store import Store, open_store
from fruitscale.uris import is_s3

Decode: TypeAlias = Callable[[bytes, int, Images], NDArray[np.uint8] | Rejection]

IMAGES = 8
"""Images decoded before inference."""


def featurize_shards(batch: ShardBatch, shared: SharedBytes | None) -> list[ShardReport]:
    """Write the parts of a batch and return a report of each shard; existing parts are kept.

    Raises InputError if a photo can't be used and `images.on_error` is fail, or can't be read; StorageError if a part can't
    be written; OutputError if another run took the lock.
    """
    job = batch.job
    source = open_store(job.input_uri, job.storage)
    output = lock.fenced(open_store(job.output_uri, job.storage), job.run_id)
    reports = {shard.index: ShardReport(shard.index) for shard in batch.shards}
    with ThreadPoolExecutor(len(reports) + 1, "check") as pool:
        checks = [pool.submit(_check_part, output, report) for report in reports.values()]
        ahead = (
            pool.submit(_contents, job, source, output, batch.shards) if job.fresh else None
        )  # no part should be there
        if job.fresh:
            _model(job, shared, reports[batch.shards[0].index])
    for check in checks:
        check.result()
    todo = [shard for shard in batch.shards if not reports[shard.index].resumed]
    contents = ahead.result() if ahead and len(todo) == len(batch.shards) else _contents(job, source, output, todo)
    with closing(CarefulDecoder()) as careful, ThreadPoolExecutor(1, "write") as writer:
        decode = careful.decode if is_retry() else images.decode
        writes: list[Future[None]] = []
        for shard in todo:
            builder = _PartBuilder(job, reports[shard.index], shared, decode)
            for _ in range(shard.start, shard.stop):
                builder.take_from(contents)
            held = writer.submit(output.check)  # while the last photos are inferred
            writes.append(writer.submit(_write, output, builder.finish(), held))
            _raise_failed(writes)
    for write in writes:
        write.result()
    last = reports[batch.shards[-1].index]
    last.rss_mb = peak_rss_mb()
    last.reads_retried = source.retries.reads + output.retries.reads
    last.writes_retried = source.retries.writes + output.retries.writes
    return list(reports.values())


class _PartBuilder:
    """Builds a part, photo by photo."""

    def __init__(self, job: Job, report: ShardReport, shared: SharedBytes | None, decode: Decode) -> None:
        self.job, self.report = job, report
        self._decode = decode
        self.rejects: list[Reject] = []
        self._shared = shared
        self._kept: list[Photo] = []
        self._pixels: list[NDArray[np.uint8]] = []
        self._features = [np.empty((0, job.features), np.float32)]

    def take_from(self, contents: Iterator[tuple[Photo, bytes | Rejection]]) -> None:
        """Add the next photo: decode it, and infer the photos before it if there are enough."""
        with self.report.timed("read"):
            photo, content = next(contents)
        with self.report.timed("decode"):
            pixels = (
                content
                if isinstance(content, Rejection)
                else self._decode(content, self.job.input_size, self.job.images)
            )
        if isinstance(pixels, Rejection):
            self._reject(photo, pixels)
            return
        if len(self._pixels) == IMAGES:
            self._infer()
        self._kept.append(photo)
        self._pixels.append(pixels)

    def finish(self) -> _PartBuilder:
        """Infer the remaining photos, and count all."""
        if self._pixels:
            self._infer()
        self.report.featurized, self.report.rejected = len(self._kept), len(self.rejects)
        return self

    def part(self) -> Part:
        """Return the part, after `finish`."""
        paths, labels = [photo.shown for photo in self._kept], [photo.label for photo in self._kept]
        return Part(paths, labels, np.concatenate(self._features), len(self.rejects))

    def _infer(self) -> None:
        model = _model(self.job, self._shared, self.report)
        with self.report.timed("infer"):
            self._features.append(model.infer(np.stack(self._pixels)))
        self._pixels.clear()

    def _reject(self, photo: Photo, rejection: Rejection) -> None:
        if self.job.images.on_error == "fail":
            raise InputError(
                f"{photo.path} can't be used: {rejection.reason}: {rejection.detail}.",
                "Repair or remove it, or set images.on_error to reject.",
            )
        if rejection.reason == CRASHED:
            self.report.crashed.append(photo.shown)
        self.rejects.append(Reject(photo.shown, photo.label, rejection.reason, rejection.detail))


def _check_part(output: Store, report: ShardReport) -> None:
    """Report a shard whose part exists; remove a damaged part."""
    name = parts.name(run_folder.FEATURES, report.index)
    try:
        part = parts.read_vectors(output, name, "features")
    except MissingObjectError:
        return
    except DamagedPartError:
        output.delete(name)
        return
    report.featurized, report.rejected, report.resumed = len(part.paths), part.rejects, True


def _model(job: Job, shared: SharedBytes | None, report: ShardReport) -> Backbone:
    """Return this process's model, loading it the first time."""
    assert shared is not None
    with report.timed("load"):
        model, loaded = backbone.cached(job.model_sha256, job.precision, shared.value)
    report.loaded |= loaded
    return model


def _contents(
    job: Job, source: Store, output: Store, todo: Sequence[Shard]
) -> Iterator[tuple[Photo, bytes | Rejection]]:
    """Yield every photo of the shards in order, with its content or the reason why it has none."""
    rows = (manifest.read_rows(output, job.manifest, s.start, s.stop, job.manifest_sha256) for s in todo)
    photos = [photo for shard in rows for photo in shard]
    if is_s3(job.input_uri):
        return ReadAhead(lambda photo: _read(job, source, photo), photos, job.storage.concurrency)
    return ((photo, _read(job, source, photo)) for photo in photos)  # a disk is faster than a thread


def _read(job: Job, source: Store, photo: Photo) -> bytes | Rejection:
    if photo.version == UNADDRESSABLE:
        return Rejection("name", "it can't be read by its name")
    if (rejection := images.too_large(photo.size, job.images)) is not None:
        return rejection
    try:
        return source.read(photo.path, photo.version)
    except MissingObjectError:
        return Rejection("changed", "it is gone since it was listed")
    except ChangedObjectError:
        return Rejection("changed", "it changed since it was listed")
    except StorageError as error:
        raise InputError(error.message, "Fix that, then run the same command again: it resumes.") from None


def _write(output: Store, builder: _PartBuilder, held: Future[None]) -> None:
    index = builder.report.index
    with builder.report.timed("write"):
        held.result()
        if builder.rejects:  # before the features part, which is the commit
            parts.write_rejects(output, parts.name(run_folder.PART_REJECTS, index), builder.rejects)
        parts.write_vectors(output, parts.name(run_folder.FEATURES, index), "features", builder.part())


def _raise_failed(writes: list[Future[None]]) -> None:
    """Raise the error of the first part that could not be written, without waiting for the rest."""
    for write in writes:
        if write.done():
            write.result()
