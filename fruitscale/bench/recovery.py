"""What it costs when one of two machines is taken away at half of a run, on a real cluster of each engine."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fruitscale.bench import local_clusters, photo_sets
from fruitscale.bench.bench_plan import Variant
from fruitscale.bench.local_clusters import LocalCluster
from fruitscale.bench.measure import BenchSetup, Measurement, RunAnswer, difference, measure
from fruitscale.config.schema import Config
from fruitscale.errors import EngineError, MissingExtraError
from fruitscale.runs.fingerprints import shard_images

PARTS = 40
"""Parts of a run at least, so that half of it can be seen."""
CLUSTERS: Mapping[str, Callable[[Path], AbstractContextManager[LocalCluster]]] = {
    "spark": local_clusters.spark_cluster,
    "dask": local_clusters.dask_cluster,
}
KEYS = {"spark": "master", "dask": "scheduler"}


@dataclass(frozen=True)
class Recovery:
    """A disturbed run beside an undisturbed one, in seconds of the whole process.

    `capacity_seconds` is what half of stage 1 takes longer on one worker of two; what is lost beyond it is the engine's
    own: noticing, and doing work again. `remade_images` are in parts that were there, and were written once more;
    `kept_images` were found finished by a task that ran again; `task_retries` is what the engine counted.
    """

    engine: str
    images: int
    undisturbed_seconds: float | None = None
    disturbed_seconds: float | None = None
    lost_seconds: float | None = None
    capacity_seconds: float | None = None
    parts_at_kill: int | None = None
    parts: int | None = None
    remade_images: int | None = None
    kept_images: int | None = None
    task_retries: int | None = None
    same_answer: bool | None = None
    failure: str = ""


def measure_recovery(config: Config, engine: str, tell: Callable[[str], None] = lambda line: None) -> Recovery:
    """Run three times on a cluster of two workers: for warm-up, undisturbed, and with one taken away at half.

    A run that fails is a result, and so is a cluster that can't be started.
    """
    images = max(config.bench.images)
    with tempfile.TemporaryDirectory(prefix="fruitscale-bench-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        folder = photo_sets.link_photos(
            config.input.uri, photo_sets.list_paths(config.input), images, work / "photos"
        ).folder
        try:
            with CLUSTERS[engine](work) as cluster:
                setting = BenchSetup(_on(cluster, engine, config, images), {images: str(folder)}, work, work / "cache")
                return _compare(setting, engine, images, cluster, tell)
        except (MissingExtraError, EngineError) as error:
            return Recovery(engine, images, failure=error.message)


def _compare(
    setting: BenchSetup, engine: str, images: int, cluster: LocalCluster, tell: Callable[[str], None]
) -> Recovery:
    variant = Variant(engine, len(cluster.workers), images, setting.config.model.precision)

    def run(what: str) -> Measurement:
        sample = measure(setting, variant, "timed")
        tell(f"{engine}, {what}: {sample.message or f'{sample.seconds:.2f} s'}")
        return sample

    run("warm-up")
    undisturbed = run("undisturbed")
    with WorkerKiller(cluster, setting.work, -(-images // shard_images(setting.config, images))) as thief:
        disturbed = run("one worker taken away")
    return account(engine, images, undisturbed, disturbed, thief)


def account(
    engine: str, images: int, undisturbed: Measurement, disturbed: Measurement, thief: WorkerKiller
) -> Recovery:
    """Return what the disturbance cost."""
    problem = next((f"{s.outcome}: {s.message}" for s in (undisturbed, disturbed) if s.outcome != "ok"), "")
    if not problem and thief.seen is None:
        problem = "the run was over before half of it was seen; give it more images"
    if problem:
        return Recovery(engine, images, undisturbed.seconds, disturbed.seconds, failure=problem)
    assert undisturbed.seconds is not None and disturbed.seconds is not None and thief.seen is not None
    return Recovery(
        engine=engine,
        images=images,
        undisturbed_seconds=undisturbed.seconds,
        disturbed_seconds=disturbed.seconds,
        lost_seconds=disturbed.seconds - undisturbed.seconds,
        capacity_seconds=undisturbed.stages["featurize"] * (1 - thief.seen / thief.parts),
        parts_at_kill=thief.seen,
        parts=thief.parts,
        remade_images=thief.remade * -(-images // thief.parts),
        kept_images=disturbed.resumed,
        task_retries=disturbed.task_retries,
        same_answer=_is_same(undisturbed.answer, disturbed.answer),
    )


class WorkerKiller:
    """Watches the run folder that appears in a working folder, and takes a worker away at half of its parts."""

    def __init__(self, cluster: LocalCluster, work: Path, parts: int) -> None:
        self.parts = parts
        self.seen: int | None = None
        self.remade = 0
        self._cluster, self._work = cluster, work
        self._before = {path.name for path in work.iterdir()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._lurk, name="thief", daemon=True)

    def __enter__(self) -> WorkerKiller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _lurk(self) -> None:
        there: dict[str, int] = {}
        while not self._over.wait(0.01) and self.seen is None:
            there = self._look()
            if len(there) * 2 >= self.parts:
                self.seen = len(there)
                self._cluster.take_away()
        remade = set[str]()
        while self.seen is not None and not self._over.wait(0.05):
            remade |= {name for name, version in self._look().items() if there.get(name, version) != version}
            self.remade = len(remade)

    def _look(self) -> dict[str, int]:
        """Return the parts of the run that is under way; a part that is written again has another inode."""
        parts: dict[str, int] = {}
        try:
            for run in (path for path in self._work.iterdir() if path.name not in self._before):
                if (run / "features").is_dir():
                    with os.scandir(run / "features") as entries:
                        parts |= {e.name: e.inode() for e in entries if e.name.endswith(".parquet")}
        except FileNotFoundError:  # removed while we looked
            return {}
        return parts


def _on(cluster: LocalCluster, engine: str, config: Config, images: int) -> Config:
    """Return a configuration for a cluster, with enough parts for half of them to be seen."""
    here: dict[str, Any] = {KEYS[engine]: cluster.address}
    if engine == "spark":  # its workers are on this machine: theirs is this Python, and not the first on the PATH
        here["conf"] = {"spark.pyspark.python": sys.executable, **config.spark.conf}
    section = getattr(config, engine).model_copy(update=here)
    few = images // shard_images(config, images) < PARTS
    shards = config.shards.model_copy(update={"images": max(images // PARTS, 1)}) if few else config.shards
    return config.model_copy(update={engine: section, "shards": shards})


def _is_same(one: RunAnswer | None, other: RunAnswer | None) -> bool:
    return one is not None and other is not None and difference(one, other) is None
