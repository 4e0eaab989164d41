"""One run on the driver, from listing to record, written once against the Engine protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from threadpoolctl import threadpool_limits

from fruitscale import stages
from fruitscale.config.schema import Config
from fruitscale.display.events import Observer
from fruitscale.engines.base import Engine, SharedValue, cut
from fruitscale.errors import FruitscaleError, InterruptedRunError, OutputError
from fruitscale.kernels.moments import Components, Moments, check_count, fit, group_edges, merge
from fruitscale.model import exported_model
from fruitscale.pipeline import empty_run, existing_run
from fruitscale.pipeline.accounting import RunOutcome, Tally, make_record
from fruitscale.pipeline.cpu_mixture import CpuKinds, cpu_kinds, driver_kind
from fruitscale.pipeline.engine_start import EngineStart, is_remote, n_shards
from fruitscale.pipeline.existing_run import ExistingRun
from fruitscale.pipeline.folder_check import check_workers_see_folders
from fruitscale.pipeline.input_listing import check_uris, earlier_runs, list_input
from fruitscale.pipeline.part_watch import watched_parts
from fruitscale.pipeline.progress import RunProgress, describe_failure
from fruitscale.pipeline.reject_limits import check_rejects
from fruitscale.pipeline.run_model import RunModels, how_to_export
from fruitscale.runs import manifest, parts, run_folder
from fruitscale.runs.fingerprints import make_plan, shard_images
from fruitscale.runs.fitted_pca import configured_pca
from fruitscale.runs.record import RunRecord
from fruitscale.runs.replacement import Destination
from fruitscale.runs.run_folder import RunFolder, RunPlan
from fruitscale.runs.run_id import new_id
from fruitscale.runs.writer import remove_private_paths, writing
from fruitscale.storage.residency import Residency, StorageAccess
from fruitscale.storage.scratch import ScratchFolder
from fruitscale.storage.store import Store
from fruitscale.storage.system_errors import explain
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
        except Exception as error:
            known = error if isinstance(error, FruitscaleError) else explain(error)
            this.end_failed(known or error)
            if known is None or known is error:
                raise
            raise known from error
        except KeyboardInterrupt:
            progress.end("interrupted")
            raise InterruptedRunError(progress.stopped, "Run the same command again: it resumes.") from None


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
        self._destination: Destination
        self._job: stages.Job
        self._fitted: Components
        self._earlier: Mapping[int, stages.EarlierParts] = {}
        self._tally = Tally()
        self._plan: RunPlan
        self._locked: RunFolder | None = None
        self._kinds: CpuKinds
        self._local_kind: tuple[str, ...] = ()
        self._kept_photos = 0

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
        if self._photos.images:
            self.featurize()
            self.fit()
            self.project()
        else:
            self._write_empty()
        return self._finish()

    def end_failed(self, error: Exception) -> None:
        """Record the failure in progress.json, unless the folder holds another run."""
        if self._locked is not None and self._progress.folder is None and not isinstance(error, OutputError):
            with suppress(FruitscaleError):
                if not self._locked.store.exists(run_folder.RECORD):
                    self._progress.folder = self._locked
        is_plain = self._config.output.paths == "plain"
        self._progress.end("failed", describe_failure(error) if is_plain else type(error).__name__)

    def prepare(self) -> RunRecord | None:
        """List the photos, take the lock, export the model and start the engine.

        Returns the record if the output already holds this run, complete and intact.
        """
        config, progress = self._config, self._progress
        self._applied = configured_pca(config, self._access)
        if self._applied is not None:
            self._applied.check_settings(config)
        self._folder = RunFolder(self._access.open(config.output.uri))
        is_complete = self._folder.store.exists(run_folder.RECORD)  # then no engine may be needed
        engine_start = None if is_complete else self._engine_start
        self._photos = list_input(config, self._access, progress, engine_start)
        store = self._held.enter_context(writing(self._folder.store, progress.run_id))
        if config.output.paths == "hashed":
            self._held.callback(self._remove_private_paths, store)  # when the engine has ended, however the run ends
        self._folder = self._locked = RunFolder(store)
        with progress.stage("export", message=how_to_export(config)):
            models = self._models()
            self._plan_for(models.find())
        if self._applied is None:
            check_count(config.pca.components, self._photos.images, self._exported.features)
        else:
            self._applied.check_model(self._plan)
        existing = existing_run.inspect(self._folder, self._plan, self._photos, config.output)
        if models.is_replaced(self._exported, existing):
            self._plan_for(models.calibrated())
            existing = existing_run.inspect(self._folder, self._plan, self._photos, config.output)
        record = existing.record
        if existing.action == "keep" and record is not None:
            if not (record.images.rejected and self._has_readable_rejects()):
                check_rejects(self._folder, config.images, record.images.rejected, record.input.images)
                progress.unchanged()
                return record
            existing = ExistingRun("repair", record)
        progress.folder = self._folder  # progress.json may be written from now on
        self._earlier = existing.earlier
        if existing.warning:
            progress.warn(existing.warning)
        if existing.changes:
            progress.note(f"{existing.changes}; the features of the other photos are kept")
        if self._photos.images:
            self._start_engine(existing)
        else:
            self._make_room(existing)
        return None

    def _has_readable_rejects(self) -> bool:
        """Return whether a photo that was absent when this complete run read it can be read now."""
        rejects = parts.read_rejects(self._folder.store, run_folder.REJECTS)
        if not stages.count_absent(rejects):
            return False
        source = self._access.open(self._config.input.uri)
        return stages.came_back(source, self._photos.rows(), rejects)

    def featurize(self) -> None:
        """Stage 1: write the features of every shard, and the table of rejects."""
        images, step = self._photos.images, self._job.shard_images
        shards = [
            stages.Shard(index, start, min(start + step, images), self._earlier.get(index))
            for index, start in enumerate(range(0, images, step))
        ]
        shared = self._engine.share(self._exported.payload)
        sizes = {parts.name(run_folder.FEATURES, shard.index): shard.stop - shard.start for shard in shards}
        features = self._destination.features
        kept = self._kept_photos = 0 if self._job.fresh else sum(sizes.get(name, 0) for name in features.part_names())
        watching = watched_parts(features, sizes, self._progress.advance_to)
        with self._progress.stage("featurize", images, "starting the workers", kept), watching:
            self._write_shards(self._job, shards, shared)
            if absent := sorted(self._tally.with_absent):  # photos that were away for a moment may be back
                self._write_shards(replace(self._job, fresh=False), [shards[index] for index in absent], shared)
        self._tally.check(images)
        if self._tally.damaged:
            names = [parts.name(run_folder.FEATURES, index) for index in sorted(self._tally.damaged)]
            self._progress.warn(f"Damaged parts were written again: {', '.join(names)}.")
        check_rejects(self._destination.results, self._config.images, self._merge_rejects(), images)

    def _write_shards(self, job: stages.Job, shards: Sequence[stages.Shard], shared: SharedValue) -> None:
        batches = [stages.ShardBatch(job, tuple(some)) for some in self._cut(shards)]
        for reports in self._engine.map(stages.featurize_shards, batches, shared):
            for report in reports:
                self._tally.add(report)
                self._note_kind(report)
                for path in report.crashed:
                    self._progress.warn(f"{path} crashed the decoder and became a reject.")
            tally = self._tally
            self._progress.advance(tally.featurized + tally.rejected, tally.rejected, tally.resumed)

    def _note_kind(self, report: stages.ShardReport) -> None:
        if self._kinds.add(report, self._kept_photos, self._progress.warn):
            self._plan = replace(self._plan, cpu_kinds=list(self._kinds.known))
            self._destination.results.write_plan(self._plan)

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
            self._destination.results.write_components(arrays, self._fitted.summary())
            name = hashlib.sha256(arrays).hexdigest()
            batches = self._cut(range(self._tally.shards))
            tasks = [stages.ProjectionTask(self._job, batch[0], batch[-1] + 1, name) for batch in batches]
            done = 0
            for projected in self._engine.map(stages.project_parts, tasks, self._engine.share(arrays)):
                self._tally.files.update(projected)
                done += len(projected)
                self._progress.advance(done)

    def _remove_private_paths(self, store: Store) -> None:
        if problem := remove_private_paths(store):
            self._progress.warn(problem)

    def _finish(self) -> RunRecord:
        progress, destination = self._progress, self._destination
        seconds = {**progress.seconds, "total": progress.total_seconds}
        record = make_record(
            RunOutcome(
                run_id=progress.run_id,
                config=self._config,
                residency=self._residency,
                plan=self._plan,
                photos=self._photos,
                exported=self._exported,
                engine=self._engine.describe() if self._photos.images else empty_run.no_engine(self._config),
                tally=self._tally,
                fitted=self._fitted,
                applied=self._applied,
                seconds=seconds,
                kept_kinds=self._kinds.kept,
                files=self._tally.files | destination.results.checksums,
            )
        )
        destination.results.store.delete(manifest.PRIVATE)
        progress.end("complete")
        return destination.commit(self._folder, record)

    def _merge_rejects(self) -> int:
        """Write one table of all rejects; return their number."""
        store = self._destination.features.store
        names = [parts.name(run_folder.PART_REJECTS, index) for index in sorted(self._tally.with_rejects)]
        rejects = [reject for name in names for reject in parts.read_rejects(store, name)]
        self._destination.results.write_rejects(rejects)
        return len(rejects)

    def _models(self) -> RunModels:
        scratch = self._held.enter_context(ScratchFolder("model"))
        return RunModels(self._config, self._access, self._folder, lambda: self._photos, self._applied, scratch)

    def _plan_for(self, exported: exported_model.ExportedModel) -> None:
        applied = None if self._applied is None else self._applied.facts
        self._exported = exported
        self._plan = make_plan(self._config, self._photos, exported, applied)

    def _start_engine(self, existing: ExistingRun) -> None:
        """Start the engine, and only then make room for the run."""
        with self._progress.stage("start"):
            self._engine = self._engine_start.engine(n_shards(self._config, self._photos.images))
        info = self._engine.describe()
        self._progress.engine(info)
        remote = is_remote(self._config, info)
        self._local_kind = driver_kind(self._config, remote)
        self._make_room(existing)
        self._job = self._make_job()
        if remote and not (is_s3(self._config.input.uri) and is_s3(self._config.output.uri)):
            check_workers_see_folders(self._engine, info, self._job)

    def _make_room(self, existing: ExistingRun) -> None:
        kept = existing_run.kept_kinds(existing, self._folder, self._plan)
        self._kinds = cpu_kinds(self._config, kept)
        self._plan = replace(self._plan, cpu_kinds=list(self._kinds.at_start(self._local_kind)))
        self._destination = existing_run.make_ready(existing, self._folder, self._plan)
        if self._exported.calibration is not None:
            self._destination.results.write_model(self._exported.payload)
        self._destination.results.write_manifest(self._photos)

    def _write_empty(self) -> None:
        """Write the tables of a run that found no new photo: no engine is started for them."""
        assert self._applied is not None
        self._fitted = self._applied.fitted
        with self._progress.stage("project"):
            self._tally.files.update(empty_run.write(self._destination, self._exported.features, self._fitted))

    def _make_job(self) -> stages.Job:
        config, photos, exported, destination = self._config, self._photos, self._exported, self._destination
        return stages.Job(
            run_id=self._progress.run_id,
            input_uri=_absolute(config.input.uri),
            output_uri=_absolute(config.output.uri),
            storage=config.storage,
            images=config.images,
            manifest=photos.read_from,
            manifest_sha256=photos.sha256 + photos.versions_sha256,
            model_sha256=exported.sha256,
            execution=exported_model.execution(config.model),
            only_cpu=self._kinds.only_allowed,
            input_size=exported.input_size,
            features=exported.features,
            shard_images=shard_images(config, photos.images),
            features_folder=destination.features_folder,
            results_folder=destination.results_folder,
            is_refit=destination.features_folder != destination.results_folder,
            crop=exported.crop,
            fresh=not self._earlier and not destination.features.has_parts(),
        )

    def _cut(self, tasks: Sequence[T]) -> list[list[T]]:
        """Group the shards or parts of a stage into tasks."""
        return cut(tasks, self._engine.describe().cut_cores, SHARE)


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
