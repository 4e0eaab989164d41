"""Stage 1: read, decode, resize and infer the photos of some shards, and write their parts.

Reads and writes overlap with inference: the next photos are read while the current ones are inferred, across the shards of
a task, and a part is written while the next shard is processed. A retry decodes in a child process: if a photo killed the
worker, it is found and becomes a reject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Images
from fruitscale.engines.base import is_retry
from fruitscale.errors import EngineError, InputError, MissingObjectError
from fruitscale.kernels import backbone, images
from fruitscale.kernels.backbone import Backbone
from fruitscale.kernels.images import Rejection
from fruitscale.runs import manifest, parts, run_folder
from fruitscale.runs.careful_decoder import REASON as CRASHED
from fruitscale.runs.careful_decoder import CarefulDecoder, Decoded, decode_in_time
from fruitscale.runs.parts import DamagedPartError, Part, Reject
from fruitscale.stages.absent import came_back, count_absent, read_photo
from fruitscale.stages.memory import peak_rss_mb
from fruitscale.stages.tasks import Job, Shard, ShardBatch, ShardReport, SharedBytes
from fruitscale.storage import lock
from fruitscale.storage.listing import Photo
from fruitscale.storage.read_ahead import ReadAhead
from fruitscale.storage.store import Store, StoreView, open_store
from fruitscale.uris import is_s3

Decode: TypeAlias = Callable[[bytes, int, Images, float | None], Decoded]

IMAGES = 8
"""Images decoded before inference, at least; whole groups of model.photos_per_call."""


def featurize_shards(batch: ShardBatch, shared: SharedBytes | None) -> list[ShardReport]:
    """Write the parts of a batch and return a report of each shard; existing parts are kept.

    Raises InputError if a photo can't be used and `images.on_error` is fail, or can't be read; StorageError if a part can't
    be written; OutputError if another run took the lock.
    """
    job = batch.job
    source = open_store(job.input_uri, job.storage)
    output = lock.fenced(open_store(job.output_uri, job.storage), job.run_id)
    features, results = StoreView(output, job.features_folder), StoreView(output, job.results_folder)
    reports = {shard.index: ShardReport(shard.index) for shard in batch.shards}
    with ThreadPoolExecutor(len(reports) + 1, "check") as pool:
        checks = [
            pool.submit(_check_part, job, source, features, results, shard, reports[shard.index])
            for shard in batch.shards
        ]
        ahead = (
            pool.submit(_contents, job, source, results, batch.shards, {}) if job.fresh else None
        )  # no part should be there
        if job.fresh:
            _model(job, shared, reports[batch.shards[0].index])
    redone = {shard.index for shard, check in zip(batch.shards, checks, strict=True) if check.result()}
    todo = [shard for shard in batch.shards if not reports[shard.index].resumed]
    earlier = {shard.index: _earlier_features(output, shard) for shard in todo}
    contents = (
        ahead.result() if ahead and len(todo) == len(batch.shards) else _contents(job, source, results, todo, earlier)
    )
    with closing(CarefulDecoder()) as careful, ThreadPoolExecutor(1, "write") as writer:
        decode = careful.decode if is_retry() else decode_in_time
        writes: list[Future[None]] = []
        for shard in todo:
            builder = _PartBuilder(job, reports[shard.index], shared, decode)
            for photo in _photos(job, results, shard):
                if photo.shown in earlier[shard.index]:
                    builder.keep(photo, earlier[shard.index][photo.shown])
                else:
                    builder.take_from(contents)
            held = writer.submit(output.check)  # while the last photos are inferred
            writes.append(writer.submit(_write, features, builder.finish(), held, redone=shard.index in redone))
            _raise_failed(writes)
    for write in writes:
        write.result()
    last = reports[batch.shards[-1].index]
    last.rss_mb = peak_rss_mb()
    last.reads_retried = source.retries.reads + output.retries.reads
    last.writes_retried = source.retries.writes + output.retries.writes
    return list(reports.values())


class _EarlierFeatures(NamedTuple):
    """Features of one photo, shape (1, width), and the warning with which it was read."""

    values: NDArray[np.float32]
    warning: str | None


class _PartBuilder:
    """Builds a part, photo by photo."""

    def __init__(self, job: Job, report: ShardReport, shared: SharedBytes | None, decode: Decode) -> None:
        self.job, self.report = job, report
        self._decode = decode
        self.rejects: list[Reject] = []
        self._shared = shared
        self._kept: list[Photo] = []
        self._warnings: dict[int, str] = {}
        self._pixels: list[NDArray[np.uint8]] = []
        group = job.execution.photos_per_call
        self._most = -(-IMAGES // group) * group
        self._features = [np.empty((0, job.features), np.float32)]

    def take_from(self, contents: Iterator[tuple[Photo, bytes | Rejection]]) -> None:
        """Add the next photo: decode it, and infer the photos before it if there are enough."""
        with self.report.timed("read"):
            photo, content = next(contents)
        with self.report.timed("decode"):
            pixels, warning = (
                (content, None)
                if isinstance(content, Rejection)
                else self._decode(content, self.job.input_size, self.job.images, self.job.crop)
            )
        if isinstance(pixels, Rejection):
            self._reject(photo, pixels)
            return
        if len(self._pixels) == self._most:
            self._infer()
        if warning is not None:
            self._warnings[len(self._kept)] = warning
        self._kept.append(photo)
        self._pixels.append(pixels)

    def keep(self, photo: Photo, features: _EarlierFeatures) -> None:
        """Add a photo whose features are known."""
        if self._pixels:
            self._infer()
        if features.warning is not None:
            self._warnings[len(self._kept)] = features.warning
        self._kept.append(photo)
        self._features.append(features.values)
        self.report.reused += 1

    def finish(self) -> _PartBuilder:
        """Infer the remaining photos, and count all."""
        if self._pixels:
            self._infer()
        self.report.featurized, self.report.rejected = len(self._kept), len(self.rejects)
        self.report.absent = count_absent(self.rejects)
        self.report.warnings = dict(Counter(self._warnings.values()))
        return self

    def part(self) -> Part:
        """Return the part, after `finish`."""
        paths, labels = [photo.shown for photo in self._kept], [photo.label for photo in self._kept]
        return Part(paths, labels, np.concatenate(self._features), len(self.rejects), self._warnings)

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


def _photos(job: Job, results: Store, shard: Shard) -> list[Photo]:
    return manifest.read_rows(results, job.manifest, shard.start, shard.stop, job.manifest_sha256)


def _check_part(job: Job, source: Store, features: Store, results: Store, shard: Shard, report: ShardReport) -> bool:
    """Report a shard whose part is complete; return whether a part that exists is redone.

    It is redone if it is damaged, holds other photos, or if a reject that was absent can be read now.
    """
    files: dict[str, str] = {}
    try:
        part, rejects = _read_part(features, shard.index, files)
    except MissingObjectError:
        report.damaged = bool(files)  # its rejects are missing
        return report.damaged
    except DamagedPartError:
        report.damaged = True
        return True
    photos, rejected = _photos(job, results, shard), {reject.path for reject in rejects}
    expected = [(photo.shown, photo.label) for photo in photos if photo.shown not in rejected]
    if expected != list(zip(part.paths, part.labels, strict=True)) or len(rejects) != part.rejects:
        report.damaged = True
        return True
    report.absent = count_absent(rejects)
    if report.absent and not job.is_refit and came_back(source, photos, rejects):
        return True
    report.featurized, report.rejected, report.resumed = len(part.paths), part.rejects, True
    report.warnings, report.files = dict(Counter(part.warnings.values())), files
    return False


def _read_part(features: Store, index: int, files: dict[str, str]) -> tuple[Part, list[Reject]]:
    """Read a shard's features and rejects, and add the sha256 of both to `files`."""
    name, rejects_name = parts.name(run_folder.FEATURES, index), parts.name(run_folder.PART_REJECTS, index)
    content = features.read(name)
    part = parts.decode_vectors(content, name, "features")
    files[name] = parts.sha256(content)
    if not part.rejects:
        return part, []
    content = features.read(rejects_name)
    files[rejects_name] = parts.sha256(content)
    return part, parts.decode_rejects(content, rejects_name)


def _earlier_features(output: Store, shard: Shard) -> dict[str, _EarlierFeatures]:
    """Return the features of unchanged photos by path, from the run that is replaced; a damaged part gives none."""
    found: dict[str, _EarlierFeatures] = {}
    if shard.earlier is None:
        return found
    for index, checksum in shard.earlier.checksums.items():
        name = parts.name(run_folder.FEATURES, index)
        try:
            content = output.read(name)
            if checksum not in (None, parts.sha256(content)):
                continue
            part = parts.decode_vectors(content, name, "features")
        except (MissingObjectError, DamagedPartError):
            continue
        for row, path in enumerate(part.paths):
            if path not in shard.earlier.changed:
                found[path] = _EarlierFeatures(part.values[row : row + 1], part.warnings.get(row))
    return found


def _model(job: Job, shared: SharedBytes | None, report: ShardReport) -> Backbone:
    """Return this process's model, loading it the first time."""
    assert shared is not None
    with report.timed("load"):
        model, loaded = backbone.cached(job.model_sha256, job.execution, shared.value)
    report.loaded |= loaded
    report.cpu = model.cpu
    if report.cpu and job.only_cpu not in (None, report.cpu):
        raise EngineError(
            f"The features of this run were computed on {job.only_cpu}, and this worker is {report.cpu}: model.cpu is same.",
            f"Resume on machines with {job.only_cpu}, or add --set model.cpu=any to mix them.",
        )
    return model


def _contents(
    job: Job, source: Store, results: Store, todo: Sequence[Shard], earlier: Mapping[int, Container[str]]
) -> Iterator[tuple[Photo, bytes | Rejection]]:
    """Yield every photo without earlier features in order, with its content or the reason why it has none."""
    photos = [
        photo
        for shard in todo
        for photo in _photos(job, results, shard)
        if photo.shown not in earlier.get(shard.index, ())
    ]
    if is_s3(job.input_uri):
        return ReadAhead(lambda photo: _read(job, source, photo), photos, job.storage.concurrency)
    return ((photo, _read(job, source, photo)) for photo in photos)  # a disk is faster than a thread


def _read(job: Job, source: Store, photo: Photo) -> bytes | Rejection:
    return images.too_large(photo.size, job.images) or read_photo(source, photo)


def _write(output: Store, builder: _PartBuilder, held: Future[None], *, redone: bool) -> None:
    index, files = builder.report.index, builder.report.files
    with builder.report.timed("write"):
        held.result()
        rejects = parts.name(run_folder.PART_REJECTS, index)
        if builder.rejects:  # before the features part, which is the commit
            files[rejects] = parts.write_rejects(output, rejects, builder.rejects)
        name = parts.name(run_folder.FEATURES, index)
        files[name] = parts.write_vectors(output, name, "features", builder.part())
        if redone and not builder.rejects:
            output.delete(rejects)


def _raise_failed(writes: list[Future[None]]) -> None:
    """Raise the error of the first part that could not be written, without waiting for the rest."""
    for write in writes:
        if write.done():
            write.result()
