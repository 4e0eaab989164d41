"""Measure what losing one of two workers halfway through a run costs, on a real cluster of each engine."""

from __future__ import annotations

import os
import sys
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
from fruitscale.storage.scratch import ScratchFolder

PARTS = 40
"""The minimum number of parts of a run, so that its halfway point can be observed."""
CLUSTERS: Mapping[str, Callable[[Path], AbstractContextManager[LocalCluster]]] = {
    "spark": local_clusters.spark_cluster,
    "dask": local_clusters.dask_cluster,
}
KEYS = {"spark": "master", "dask": "scheduler"}


@dataclass(frozen=True)
class Recovery:
    """A run that lost a worker compared with one that did not, in seconds of the whole process.

    `capacity_seconds` is how much longer the rest of stage 1 takes on one worker instead of two; the remaining loss is
    the engine's: detecting the failure and redoing work. `remade_images` are in parts that had been written and were
    written again; `kept_images` were found finished by a retried task; `task_retries` is the engine's own count.
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


def measure_recovery(config: Config, engine: str, log: Callable[[str], None] = lambda line: None) -> Recovery:
    """Run three times on a cluster of two workers: warm-up, undisturbed, and with one worker killed halfway.

    A failing run, or a cluster that can't be started, is returned as a failure.
    """
    images = max(config.bench.images)
    with ScratchFolder("bench") as work:
        folder = photo_sets.link_photos(
            config.input.uri, photo_sets.list_paths(config.input), images, work / "photos"
        ).folder
        try:
            with CLUSTERS[engine](work) as cluster:
                setup = BenchSetup(_on(cluster, engine, config, images), {images: str(folder)}, work, work / "cache")
                return _compare(setup, engine, images, cluster, log)
        except (MissingExtraError, EngineError) as error:
            return Recovery(engine, images, failure=error.message)


def _compare(
    setup: BenchSetup, engine: str, images: int, cluster: LocalCluster, log: Callable[[str], None]
) -> Recovery:
    variant = Variant(engine, len(cluster.workers), images, setup.config.model.precision)

    def run(name: str) -> Measurement:
        sample = measure(setup, variant, "timed")
        log(f"{engine}, {name}: {sample.message or f'{sample.seconds:.2f} s'}")
        return sample

    run("warm-up")
    undisturbed = run("undisturbed")
    with WorkerKiller(cluster, setup.work, -(-images // shard_images(setup.config, images))) as killer:
        disturbed = run("one worker killed")
    return account(engine, images, undisturbed, disturbed, killer)


def account(
    engine: str, images: int, undisturbed: Measurement, disturbed: Measurement, killer: WorkerKiller
) -> Recovery:
    """Return what the lost worker cost, or the failure that prevented the comparison."""
    problem = next((f"{s.outcome}: {s.message}" for s in (undisturbed, disturbed) if s.outcome != "ok"), "")
    if not problem and killer.parts_at_kill is None:
        problem = "the run ended before it was seen halfway through; use more images"
    if problem:
        return Recovery(engine, images, undisturbed.seconds, disturbed.seconds, failure=problem)
    assert undisturbed.seconds is not None and disturbed.seconds is not None and killer.parts_at_kill is not None
    return Recovery(
        engine=engine,
        images=images,
        undisturbed_seconds=undisturbed.seconds,
        disturbed_seconds=disturbed.seconds,
        lost_seconds=disturbed.seconds - undisturbed.seconds,
        capacity_seconds=undisturbed.stages["featurize"] * (1 - killer.parts_at_kill / killer.parts),
        parts_at_kill=killer.parts_at_kill,
        parts=killer.parts,
        remade_images=killer.rewritten_parts * -(-images // killer.parts),
        kept_images=disturbed.resumed,
        task_retries=disturbed.task_retries,
        same_answer=_is_same(undisturbed.answer, disturbed.answer),
    )


class WorkerKiller:
    """Watches for a new run folder in the working folder, and kills a worker once half of its parts are written."""

    def __init__(self, cluster: LocalCluster, work: Path, parts: int) -> None:
        self.parts = parts
        self.parts_at_kill: int | None = None
        self.rewritten_parts = 0
        self._cluster, self._work = cluster, work
        self._before = {path.name for path in work.iterdir()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="worker-killer", daemon=True)

    def __enter__(self) -> WorkerKiller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        at_kill: dict[str, int] = {}
        while not self._stop.wait(0.01) and self.parts_at_kill is None:
            at_kill = self._parts()
            if len(at_kill) * 2 >= self.parts:
                self.parts_at_kill = len(at_kill)
                self._cluster.kill_worker()
        rewritten = set[str]()
        while self.parts_at_kill is not None and not self._stop.wait(0.05):
            rewritten |= {name for name, inode in self._parts().items() if at_kill.get(name, inode) != inode}
            self.rewritten_parts = len(rewritten)

    def _parts(self) -> dict[str, int]:
        """Return the inode of each part of the current run; a part that is written again has another one."""
        parts: dict[str, int] = {}
        try:
            for run in (path for path in self._work.iterdir() if path.name not in self._before):
                if (run / "features").is_dir():
                    with os.scandir(run / "features") as entries:
                        parts |= {e.name: e.inode() for e in entries if e.name.endswith(".parquet")}
        except FileNotFoundError:  # the run folder was removed meanwhile
            return {}
        return parts


def _on(cluster: LocalCluster, engine: str, config: Config, images: int) -> Config:
    """Return a configuration for a cluster, with at least PARTS parts."""
    changes: dict[str, Any] = {KEYS[engine]: cluster.address}
    if engine == "spark":  # workers on this machine must use this Python, not the first on the PATH
        changes["conf"] = {"spark.pyspark.python": sys.executable, **config.spark.conf}
    section = getattr(config, engine).model_copy(update=changes)
    too_few = images // shard_images(config, images) < PARTS
    shards = config.shards.model_copy(update={"images": max(images // PARTS, 1)}) if too_few else config.shards
    return config.model_copy(update={engine: section, "shards": shards})


def _is_same(one: RunAnswer | None, other: RunAnswer | None) -> bool:
    return one is not None and other is not None and difference(one, other) is None
