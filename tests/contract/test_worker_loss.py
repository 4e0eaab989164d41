"""An engine whose workers are gone for good ends the map with an error, on real clusters."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fruitscale.bench.local_clusters import LIGHT_JAVA, LocalCluster, dask_cluster, spark_cluster
from fruitscale.config.loading import from_mapping
from fruitscale.engines.registry import open_engine
from fruitscale.engines.worker_watch import WorkerWatch
from fruitscale.errors import EngineError
from tests.conftest import ROOT
from tests.contract import tasks

SPARK_CONF = {
    "spark.pyspark.python": sys.executable, "spark.executor.memory": "512m", "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def workers_find_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JDK_JAVA_OPTIONS", LIGHT_JAVA)


def lose_workers(values: dict[str, Any], cluster: LocalCluster) -> EngineError:
    """Start a map, kill every worker after its first result; return the error that ends the map."""
    engine = open_engine(from_mapping({"worker_timeout_seconds": 3.0, **values}), 2)
    try:
        results: Iterator[float] = engine.map(tasks.wait, [0.0, 0.0] + [1.0] * 200)
        next(results)
        for _ in range(2):
            cluster.kill_worker()
        with pytest.raises(EngineError) as caught:
            list(results)
    finally:
        engine.close()
    return caught.value


@pytest.mark.slow
def test_a_dask_cluster_without_workers(tmp_path: Path) -> None:
    with dask_cluster(tmp_path) as cluster:
        error = lose_workers({"engine": "dask", "dask": {"scheduler": cluster.address}}, cluster)
    assert error.message == f"The Dask scheduler {cluster.address} has had no worker for 3 s."
    assert "worker_timeout_seconds" in str(error.hint)


@pytest.mark.slow
def test_a_spark_cluster_without_executors(tmp_path: Path) -> None:
    with spark_cluster(tmp_path) as cluster:
        error = lose_workers({"engine": "spark", "spark": {"master": cluster.address, "conf": SPARK_CONF}}, cluster)
    assert error.message == f"Spark ({cluster.address}) has had no worker for 3 s."
    assert "worker_timeout_seconds" in str(error.hint)


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:  # it has just ended
        return []
    return command


def _kill_nannies() -> None:
    nannies = [child for child in psutil.Process().children() if "distributed.cli.dask_worker" in _command(child)]
    assert len(nannies) == 1
    nannies[0].kill()


def test_the_process_that_starts_dasks_workers_is_started_again_once() -> None:
    engine = open_engine(from_mapping({"engine": "dask"}), 2)
    try:
        results = engine.map(tasks.wait, [0.0, 0.0] + [0.2] * 20)
        next(results)
        _kill_nannies()
        assert len(list(results)) == 21
        results = engine.map(tasks.wait, [0.0, 0.0] + [1.0] * 200)
        next(results)
        _kill_nannies()
        with pytest.raises(EngineError, match="process that starts Dask's workers ended") as caught:
            list(results)
    finally:
        engine.close()
    assert caught.value.hint


@pytest.mark.parametrize(("count", "hopeless"), [(0, False), (0, True)])
def test_the_watch_gives_up_once(count: int, hopeless: bool) -> None:
    gave_up = threading.Event()
    watch = WorkerWatch(lambda: count, 1000.0 if hopeless else 0.1, gave_up.set, lambda: hopeless)
    watch.start()
    assert gave_up.wait(30)
    watch.stop()
    assert watch.gave_up


def test_the_watch_keeps_quiet_while_there_are_workers_or_no_answer() -> None:
    asked = threading.Semaphore(0)

    def answer() -> int:
        asked.release()
        if next(answers):
            return 1
        raise OSError("no answer")

    answers = iter([True, False] * 1000)
    watch = WorkerWatch(answer, 0.04, lambda: None)
    watch.start()
    for _ in range(20):
        assert asked.acquire(timeout=30)
    watch.stop()
    assert not watch.gave_up
