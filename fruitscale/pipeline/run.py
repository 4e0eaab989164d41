"""One run on the driver, from listing to record, written once against the Engine protocol."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

from fruitscale import stages
from fruitscale.config.schema import Config
from fruitscale.display.events import Observer
from fruitscale.engines.base import Engine, EngineInfo, cut
from fruitscale.errors import EngineError, FruitscaleError, InputError, InterruptedRunError
from fruitscale.kernels.moments import Components, Moments, check_count, fit, group_edges, merge
from fruitscale.model import exported_model
from fruitscale.pipeline.accounting import RunOutcome, Tally, make_record
from fruitscale.pipeline.engine_start import EngineStart
from fruitscale.pipeline.existing_run import settle_existing
from fruitscale.pipeline.input_listing import check_uris, earlier_runs, list_input
from fruitscale.pipeline.progress import RunProgress
from fruitscale.runs import manifest, run_folder
from fruitscale.runs.fingerprints import make_plan, shard_images
from fruitscale.runs.fitted_pca import configured_pca
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder
from fruitscale.runs.run_id import new_id
from fruitscale.storage import lock
from fruitscale.storage.residency import Residency, StorageAccess
from fruitscale.uris import is_s3, local_path

T = TypeVar("T")

SHARE = 1
"""A task of stage 1 or 3 takes the shards that a core has left, at most 8: large tasks first, small ones at the end.

More and smaller tasks would not let the cores end sooner, and on S3 each task waits for its first photo and its last part.
"""


def run(config: Config, observer: Observer = lambda event: None, access: StorageAccess | None = None) -> RunRecord:
    """Run, resume or verify what a configuration describes, and return its record.

    Raises a FruitscaleError whatever goes wrong; finished parts are kept, and the same call resumes.
    """
    check_uris(config)
    access = access or StorageAccess(config.storage)
    config, residency = settle_storage(config, access)
    progress = RunProgress(new_id(), observer)
    with progress.listening(), PipelineRun(config, access, residency, progress) as this:
        try:
            return this.carry_out()
        except FruitscaleError as error:
            progress.end("failed", error.message if config.output.paths == "plain" else type(error).__name__)
            raise
        except KeyboardInterrupt:
            progress.end("interrupted")
            raise InterruptedRunError(f"Stopped{progress.so_far}.", "Run the same command again: it resumes.") from None


def settle_storage(config: Config, access: StorageAccess) -> tuple[Config, Residency | None]:
    """Check every bucket that a run uses, and return the config with region and endpoint settled.

    Raises ResidencyError; the residency is None if nothing is on S3.
    """
    residency = access.check(config.input.uri, config.output.uri, config.input.list or "", *earlier_runs(config))
    if residency is None:
        return config, None
    return config.model_copy(update={"storage": access.settled}), residency


class PipelineRun:
    """One run: `prepare`, `featurize`, `fit`, `project`, in this order. On exit, it ends the engine, then the lock."""

    def __init__(
        self, config: Config, access: StorageAccess, residency: Residency | None, progress: RunProgress
    ) -> None:
        self._config, self._access, self._residency, self._progress = config, access, residency, progress
        self._engine_start = EngineStart(config)
        self._held = ExitStack()  # the lock, and the folder of the exported model
        self._engine: Engine
        self._job: stages.Job
        self._fitted: Components
        self._tally = Tally()

    def __enter__(self) -> PipelineRun:
        return self

    def __exit__(self, *_: object) -> None:
        with self._held:  # released last: no worker may write once the lock is free
            self._engine_start.close()

    def carry_out(self) -> RunRecord:
        """Run every stage and return the record."""
        complete = self.prepare()
        if complete is not None:
            return complete
        self.featurize()
        self.fit()
        self.project()
        return self._finish()

    def prepare(self) -> RunRecord | None:
        """List the photos, take the lock, export the model and start the engine.

        Returns the record if the output already holds this run, complete and intact.
        """
        config, progress = self._config, self._progress
        self._applied = configured_pca(config, self._access)
        self._folder = RunFolder(self._access.open(config.output.uri))
        is_complete = self._folder.read_record() is not None  # then no engine may be needed
        engine_start = None if is_complete else self._engine_start
        self._photos = list_input(config, self._access, progress, engine_start)
        store = self._held.enter_context(lock.locked(self._folder.store, progress.run_id))
        self._folder = RunFolder(store)
        with progress.stage("export"):
            self._exported = self._export()
        applied = None if self._applied is None else self._applied.facts
        self._plan = make_plan(config, self._photos, self._exported, applied)
        if self._applied is None:
            check_count(config.pca.components, self._photos.images, self._exported.features)
        else:
            self._applied.check_model(self._plan)
        record = settle_existing(self._folder, self._plan, self._photos, overwrite=config.output.overwrite)
        if record is None:
            progress.folder = self._folder  # progress.json may be written from now on
            manifest.write(self._photos, self._folder.store)
            self._start_engine()
        return record

    def featurize(self) -> None:
        """Stage 1: write the features of every shard, and the table of rejects."""
        images, step = self._photos.images, self._job.shard_images
        shards = [stages.Shard(i, a, min(a + step, images)) for i, a in enumerate(range(0, images, step))]
        batches = [stages.ShardBatch(self._job, tuple(some)) for some in self._cut(shards)]
        shared = self._engine.share(self._exported.payload)
        with self._progress.stage("featurize", images):
            for reports in self._engine.map(stages.featurize_shards, batches, shared):
                for report in reports:
                    self._tally.add(report)
                    for path in report.crashed:
                        self._progress.warn(f"{path} crashed the decoder and became a reject.")
                tally = self._tally
                self._progress.advance(tally.featurized + tally.rejected, tally.rejected, tally.resumed)
        self._tally.check(images)
        self._check_rejects(self._folder.write_rejects(sorted(self._tally.with_rejects)))

    def fit(self) -> None:
        """Stage 2: fit the PCA, or take that of the earlier run named by `pca.run`."""
        if self._applied is not None:
            self._fitted = self._applied.fitted
        else:
            self._fitted = fit_parts(
                self._engine, self._job, self._config, self._tally.shards, self._photos.images, self._progress
            )

    def project(self) -> None:
        """Stage 3: write the components and the scores of every part."""
        with self._progress.stage("project", self._tally.shards):
            arrays = self._fitted.to_bytes()
            self._folder.write_components(arrays, self._fitted.summary())
            name = hashlib.sha256(arrays).hexdigest()
            batches = self._cut(range(self._tally.shards))
            tasks = [stages.ProjectionTask(self._job, batch[0], batch[-1] + 1, name) for batch in batches]
            done = 0
            for projected in self._engine.map(stages.project_parts, tasks, self._engine.share(arrays)):
                done += projected
                self._progress.advance(done)

    def _finish(self) -> RunRecord:
        progress, folder = self._progress, self._folder
        seconds = {**progress.seconds, "total": progress.total_seconds}
        record = make_record(
            RunOutcome(
                run_id=progress.run_id,
                config=self._config,
                residency=self._residency,
                plan=self._plan,
                photos=self._photos,
                exported=self._exported,
                engine=self._engine.describe(),
                tally=self._tally,
                fitted=self._fitted,
                applied=self._applied,
                seconds=seconds,
            )
        )
        folder.store.delete(manifest.PRIVATE)
        progress.end("complete")
        folder.write_record(record)
        return record

    def _export(self) -> exported_model.ExportedModel:
        model = self._config.model
        if model.exported is not None:
            return exported_model.read(Path(model.exported), model)
        scratch = self._held.enter_context(tempfile.TemporaryDirectory(prefix="fruitscale-"))
        return exported_model.export(model, Path(scratch))

    def _start_engine(self) -> None:
        with self._progress.stage("start"):
            self._engine = self._engine_start.engine()
        info = self._engine.describe()
        self._progress.engine(info)
        self._job = self._make_job()
        if _is_remote(self._config, info):
            _check_workers_see_folders(self._engine, info, self._job)

    def _make_job(self) -> stages.Job:
        config, photos, exported = self._config, self._photos, self._exported
        return stages.Job(
            run_id=self._progress.run_id,
            input_uri=_absolute(config.input.uri),
            output_uri=_absolute(config.output.uri),
            storage=config.storage,
            images=config.images,
            manifest=photos.read_from,
            manifest_sha256=photos.sha256 + photos.versions_sha256,
            model_sha256=exported.sha256,
            precision=config.model.precision,
            input_size=exported.input_size,
            features=exported.features,
            shard_images=shard_images(config, photos.images),
            fresh=not self._folder.has_parts(),
        )

    def _cut(self, tasks: Sequence[T]) -> list[list[T]]:
        """Group the shards or parts of a stage into tasks."""
        return cut(tasks, self._engine.describe().cores, SHARE)

    def _check_rejects(self, rejected: int) -> None:
        images, limit = self._photos.images, self._config.images.max_reject_fraction
        if rejected > limit * images or rejected == images:
            raise InputError(
                f"{rejected} of {images} photos can't be used, more than images.max_reject_fraction allows "
                f"({limit:g}); the reasons are in {self._folder.store.uri}/{run_folder.REJECTS}.",
                "Repair or exclude them, or allow more: --set images.max_reject_fraction=…",
            )


def fit_parts(
    engine: Engine, job: stages.Job, config: Config, n_parts: int, n_images: int, progress: RunProgress
) -> Components:
    """Fit the PCA on features parts: moments on the workers, merged in the order of their groups on the driver."""
    edges = group_edges(n_parts, n_images)
    groups = [stages.PartGroup(job, index, start, stop) for index, (start, stop) in enumerate(pairwise(edges))]
    with progress.stage("fit", len(groups)), threadpool_limits(1):
        total = _merge_in_order(engine.map(stages.group_moments, groups), progress.advance)
        return fit(total, config.pca.components, standardize=config.pca.standardize)


def _merge_in_order(results: Iterator[tuple[int, Moments]], advance: Callable[[int], None]) -> Moments:
    """Merge moments in the order of their groups, whichever group ends first, so that the sum has the same bytes."""
    waiting: dict[int, Moments] = {}
    total: Moments | None = None
    merged = 0
    for index, moments in results:
        waiting[index] = moments
        while merged in waiting:
            following = waiting.pop(merged)
            total = following if total is None else merge(total, following)
            merged += 1
        advance(merged)
    assert total is not None
    return total


def _absolute(uri: str) -> str:
    return uri if is_s3(uri) else str(local_path(uri))


def _check_workers_see_folders(engine: Engine, info: EngineInfo, job: stages.Job) -> None:
    """Raise EngineError if a worker on another machine does not see the driver's folders."""
    probe = stages.FolderProbe(job.input_uri, f"{job.output_uri}/{lock.NAME}")
    for input_seen, output_seen in engine.map(stages.sees_folders, [probe] * max(info.cores, 1) * 2):
        for seen, key, uri in ((input_seen, "input", job.input_uri), (output_seen, "output", job.output_uri)):
            if not seen and not is_s3(uri):
                raise EngineError(
                    f"The workers of {info.master} don't see the {key} folder {uri}.",
                    "Use s3:// or a folder that is mounted on every machine.",
                )


def _is_remote(config: Config, info: EngineInfo) -> bool:
    """Return whether workers may be on other machines, which may lack our folders."""
    if config.engine == "spark":
        return not (info.master or "").startswith("local")
    return config.engine == "dask" and config.dask.scheduler is not None
