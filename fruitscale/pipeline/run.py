"""A run, on the driver, from start to end; written once, against the Engine protocol."""

from __future__ import annotations

import hashlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path

from threadpoolctl import threadpool_limits

from fruitscale import stages
from fruitscale.config.schema import Config
from fruitscale.display.events import Observer
from fruitscale.engines import registry
from fruitscale.engines.base import Engine, EngineInfo, cut
from fruitscale.errors import (
    EngineError,
    FruitscaleError,
    InputError,
    InterruptedRunError,
    NothingNewError,
    OutputError,
    UsageError,
)
from fruitscale.kernels.moments import Components, Moments, check_count, fit, group_edges, merge
from fruitscale.model import exported_model
from fruitscale.model.exported_model import ExportedModel
from fruitscale.pipeline.accounting import RunOutcome, Tally, make_record
from fruitscale.pipeline.progress import RunProgress
from fruitscale.runs import manifest, parts, path_hash, run_folder
from fruitscale.runs.fingerprints import differences, make_plan, shard_images
from fruitscale.runs.fitted_pca import configured_pca
from fruitscale.runs.history import RunHistory
from fruitscale.runs.journal import check_finished
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.parts import DamagedPartError
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder, RunPlan
from fruitscale.storage import listing, lock, residency
from fruitscale.storage.listing import Photo
from fruitscale.storage.residency import Residency
from fruitscale.storage.store import open_store
from fruitscale.uris import is_inside, is_s3, local_path

SHARE = 1
"""A task of stage 1 or 3 takes the shards that a core has left, at most 8: large ones first, small ones at the end.

With more and smaller tasks cores would end no sooner, and on S3 each task waits for its first photo and its last part.
"""
WARM, WARM_NETWORK, WARM_S3 = (f"fruitscale.stages.{name}" for name in ("warm", "warm_network", "warm_s3"))


def run(config: Config, observer: Observer = lambda event: None) -> RunRecord:
    """Make, resume or verify the run that a configuration describes, and return its record.

    Raises a FruitscaleError whatever goes wrong; what was finished by then is kept, and the same call resumes.
    """
    check_uris(config)
    config, place = settle_residency(config)
    watch = RunProgress(_new_id(), observer)
    with watch.listening(), ExitStack() as held, ExitStack() as stack:  # the engine ends before the lock is given back
        try:
            return _run(config, place, watch, held, stack)
        except FruitscaleError as error:
            watch.end("failed", error.message if config.output.paths == "plain" else type(error).__name__)
            raise
        except KeyboardInterrupt:
            watch.end("interrupted")
            raise InterruptedRunError(f"Stopped{watch.so_far}.", "Run the same command again: it resumes.") from None


def check_uris(config: Config) -> None:
    """Raise UsageError when input and output are not said, or one is inside the other."""
    for key, uri in (("input", config.input.uri), ("output", config.output.uri)):
        if not uri:
            raise UsageError(f"{key}.uri is not set.", f"Give --{key}, or {key}.uri in the config.")
    target = config.output.uri
    for what, uri in (("input", config.input.uri), *(("run", uri) for uri in _earlier_runs(config))):
        if is_inside(target, uri):
            raise UsageError(f"The output {target} is inside the {what} {uri}.", "Choose another --output.")
        if is_inside(uri, target):
            raise UsageError(f"The {what} {uri} is inside the output {target}.", "Choose another --output.")


def _earlier_runs(config: Config) -> list[str]:
    """Return the folders of the runs that this one reads."""
    return [*([config.pca.run] if config.pca.run is not None else []), *config.input.new_since]


def settle_residency(config: Config) -> tuple[Config, Residency | None]:
    """Settle and check where the buckets are, before anything else is asked of them. Raises ResidencyError."""
    named = (config.input.uri, config.output.uri, config.input.list or "", *_earlier_runs(config))
    uris = [uri for uri in named if is_s3(uri)]
    if not uris:
        return config, None
    storage = residency.settle(config.storage)
    return config.model_copy(update={"storage": storage}), residency.check(storage, uris)


def list_input(config: Config, watch: RunProgress, at_first: Callable[[], object] = lambda: None) -> Manifest:
    """List the photos, and call `at_first` when there is one.

    Raises InputError when there are none, NothingNewError when earlier runs have them all.
    """
    hashed = path_hash.from_environment() if config.output.paths == "hashed" else None
    with watch.stage("list"):
        seen = RunHistory.by(config.input.new_since, config.storage, is_s3(config.input.uri))
        photos = seen.leave_out(listing.list_photos(config.input, config.storage))
        listed = manifest.build(_announced(photos, at_first), config.input.limit, watch.advance, hashed)
    if not listed.images and seen.left_out:
        raise NothingNewError(f"There is nothing new: earlier runs have all {seen.left_out} photos.")
    if not listed.images:
        raise InputError(
            f"There are no photos in {config.input.uri}.",
            f"Looked for {', '.join(config.input.include)}: see input.include and input.exclude.",
        )
    if isinstance(config.pca.components, int) and config.pca.run is None:
        check_count(config.pca.components, listed.images, config.pca.components)
    return listed


def _announced(photos: Iterable[Photo], at_first: Callable[[], object]) -> Iterator[Photo]:
    for index, photo in enumerate(photos):
        if index == 0:
            at_first()
        yield photo


def _run(config: Config, place: Residency | None, watch: RunProgress, held: ExitStack, stack: ExitStack) -> RunRecord:
    basis = configured_pca(config)
    folder = RunFolder(open_store(config.output.uri, config.storage))

    @cache
    def starting() -> Future[Engine]:
        return stack.enter_context(_starting(config))

    complete = folder.read_record() is not None
    photos = list_input(config, watch, at_first=(lambda: None) if complete else starting)
    held.enter_context(lock.locked(folder.store, watch.run_id))

    with watch.stage("export"):
        exported = _export(config, stack)
    plan = make_plan(config, photos, exported, None if basis is None else basis.facts)
    if basis is None:
        check_count(config.pca.components, photos.images, exported.features)
    else:
        basis.check_model(plan)
    kept = _settle(folder, plan, photos, overwrite=config.output.overwrite)
    if kept is not None:
        return kept
    watch.folder = folder  # from here on it is ours to write
    manifest.write(photos, folder.store)

    with watch.stage("start"):
        engine = starting().result()
    watch.engine(engine.describe())
    job = _job(config, photos, exported, watch.run_id, fresh=not folder.has_parts())
    _check_workers_see(engine, job, config)

    tally = _featurize(engine, job, config, photos, exported, watch, folder)
    n_parts = tally.shards
    fitted = basis.fitted if basis is not None else _fit(engine, job, config, n_parts, photos.images, watch)
    _project(engine, job, fitted, n_parts, watch, folder)
    seconds = {**watch.seconds, "total": watch.total_seconds}
    info = engine.describe()
    outcome = RunOutcome(watch.run_id, config, place, plan, photos, exported, info, tally, fitted, basis, seconds)
    made = make_record(outcome)
    lock.check_held(folder.store, watch.run_id)
    folder.store.delete(manifest.PRIVATE)
    watch.end("complete")
    folder.write_record(made)
    return made


def _settle(folder: RunFolder, plan: RunPlan, photos: Manifest, *, overwrite: bool) -> RunRecord | None:
    """Decide what becomes of the run that is there; return its record when it is complete and this very run."""
    check_finished(folder.store)  # also with --overwrite: old versions of what is erased would be forgotten
    old = folder.read_plan()
    if old is None or old.fingerprints["features"] != plan.fingerprints["features"]:
        _make_room(folder, old, plan, photos, overwrite=overwrite)
    elif old.fingerprints["pca"] == plan.fingerprints["pca"]:
        record = folder.read_record()
        if record is not None and _is_intact(folder, photos, plan):
            return record
        folder.uncommit()
    else:
        folder.uncommit()
        folder.clear_reduced()
    folder.sweep()
    folder.write_plan(plan)
    return None


def _make_room(folder: RunFolder, old: RunPlan | None, plan: RunPlan, photos: Manifest, *, overwrite: bool) -> None:
    if not overwrite:
        if old is not None:
            raise OutputError(
                f"{folder.store.uri} holds another run: {differences(folder, old, plan, photos)}.",
                "Choose another --output, or replace it with --overwrite.",
            )
        if folder.has_parts():
            raise OutputError(
                f"{folder.store.uri} holds parts of a run without its plan (_run/plan.json).",
                "Choose another --output, or replace it with --overwrite.",
            )
    folder.clear()


def _is_intact(folder: RunFolder, photos: Manifest, plan: RunPlan) -> bool:
    """Check every part of a complete run; one that is damaged or missing is made anew."""
    n_parts = -(-photos.images // int(plan.features["shards.images"]))
    intact = folder.has_tables()
    for index in range(n_parts):
        for place, column in ((run_folder.FEATURES, "features"), (run_folder.REDUCED, "components")):
            try:
                parts.read_vectors(folder.store, parts.name(place, index), column)
            except (DamagedPartError, FruitscaleError):
                intact = False
    return intact


@contextmanager
def _starting(config: Config) -> Iterator[Future[Engine]]:
    """Start the engine while the driver does other things; close it at the end, whatever happens."""
    warm = [WARM]
    if config.model.architecture != "patch_mean":
        warm.append(WARM_NETWORK)
    if is_s3(config.input.uri) or is_s3(config.output.uri):
        warm.append(WARM_S3)
    with ThreadPoolExecutor(1, "engine") as executor:
        future = executor.submit(registry.open_engine, config, registry.slots(config), tuple(warm))
        try:
            yield future
        finally:
            if future.exception() is None:
                future.result().close()


def _export(config: Config, stack: ExitStack) -> ExportedModel:
    if config.model.exported is not None:
        return exported_model.read(Path(config.model.exported), config.model)
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="fruitscale-"))
    return exported_model.export(config.model, Path(scratch))


def _job(config: Config, photos: Manifest, exported: ExportedModel, run_id: str, *, fresh: bool) -> stages.Job:
    def absolute(uri: str) -> str:
        return uri if is_s3(uri) else str(local_path(uri))

    return stages.Job(
        run_id=run_id,
        input_uri=absolute(config.input.uri),
        output_uri=absolute(config.output.uri),
        storage=config.storage,
        images=config.images,
        manifest=photos.read_from,
        manifest_sha256=photos.sha256 + photos.versions_sha256,
        model_sha256=exported.sha256,
        precision=config.model.precision,
        input_size=exported.input_size,
        features=exported.features,
        shard_images=shard_images(config, photos.images),
        fresh=fresh,
    )


def _check_workers_see(engine: Engine, job: stages.Job, config: Config) -> None:
    info = engine.describe()
    if not _is_remote(config, info):
        return
    probe = stages.FolderProbe(job.input_uri, f"{job.output_uri}/{lock.NAME}")
    for input_seen, output_seen in engine.map(stages.sees_folders, [probe] * max(info.cores, 1) * 2):
        for seen, key, uri in ((input_seen, "input", job.input_uri), (output_seen, "output", job.output_uri)):
            if not seen and not is_s3(uri):
                raise EngineError(
                    f"The workers of {info.master} don't see the {key} folder {uri}.",
                    "Use s3:// or a folder that every machine has mounted.",
                )


def _featurize(
    engine: Engine,
    job: stages.Job,
    config: Config,
    photos: Manifest,
    exported: ExportedModel,
    watch: RunProgress,
    folder: RunFolder,
) -> Tally:
    step, tally = shard_images(config, photos.images), Tally()
    starts = range(0, photos.images, step)
    shards = [stages.Shard(i, start, min(start + step, photos.images)) for i, start in enumerate(starts)]
    batches = [stages.ShardBatch(job, tuple(some)) for some in cut(shards, engine.describe().cores, SHARE)]
    shared = engine.share(exported.payload)
    with watch.stage("featurize", photos.images):
        for reports in engine.map(stages.featurize_shards, batches, shared):
            for report in reports:
                tally.add(report)
            watch.advance(tally.featurized + tally.rejected, tally.rejected, tally.resumed)
    tally.check(photos.images)
    rejected = folder.write_rejects(sorted(tally.with_rejects))
    _check_rejects(rejected, photos.images, config, folder)
    return tally


def _check_rejects(rejected: int, images: int, config: Config, folder: RunFolder) -> None:
    if rejected > config.images.max_reject_fraction * images or rejected == images:
        raise InputError(
            f"{rejected} of {images} photos can't be used, more than images.max_reject_fraction allows "
            f"({config.images.max_reject_fraction:g}); why is in {folder.store.uri}/{run_folder.REJECTS}.",
            "Mend or exclude them, or allow more: --set images.max_reject_fraction=…",
        )


def _fit(
    engine: Engine, job: stages.Job, config: Config, n_parts: int, n_images: int, watch: RunProgress
) -> Components:
    edges = group_edges(n_parts, n_images)
    groups = [stages.PartGroup(job, index, start, stop) for index, (start, stop) in enumerate(pairwise(edges))]
    with watch.stage("fit", len(groups)), threadpool_limits(1):
        total = _fold(engine.map(stages.group_moments, groups), watch)
        return fit(total, config.pca.components, standardize=config.pca.standardize)


def _fold(results: Iterator[tuple[int, Moments]], watch: RunProgress) -> Moments:
    """Merge moments in the order of their groups, whichever comes first."""
    waiting: dict[int, Moments] = {}
    total: Moments | None = None
    folded = 0
    for index, found in results:
        waiting[index] = found
        while folded in waiting:
            following = waiting.pop(folded)
            total = following if total is None else merge(total, following)
            folded += 1
        watch.advance(folded)
    assert total is not None
    return total


def _project(
    engine: Engine, job: stages.Job, fitted: Components, n_parts: int, watch: RunProgress, folder: RunFolder
) -> None:
    with watch.stage("project", n_parts):
        arrays = fitted.to_bytes()
        folder.write_components(arrays, fitted.summary())
        name = hashlib.sha256(arrays).hexdigest()
        batches = cut(range(n_parts), engine.describe().cores, SHARE)
        tasks = [stages.ProjectionTask(job, batch[0], batch[-1] + 1, name) for batch in batches]
        done = 0
        for projected in engine.map(stages.project_parts, tasks, engine.share(arrays)):
            done += projected
            watch.advance(done)


def _is_remote(config: Config, info: EngineInfo) -> bool:
    """Tell whether workers may be on other machines, which may not have our folders."""
    if config.engine == "spark":
        return not (info.master or "").startswith("local")
    return config.engine == "dask" and config.dask.scheduler is not None


def _new_id() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + uuid.uuid4().hex[:6]
