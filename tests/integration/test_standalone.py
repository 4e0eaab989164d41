"""Running clusters: a Spark master with two workers and a Dask scheduler with two, as real processes on loopback."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import SLOWER, Cli, part_bytes
from tests.contract.clusters import dask_scheduler, spark_master
from tests.integration.test_interruptions import started, wait_for

__all__ = ["dask_scheduler", "spark_master"]  # fixtures


@pytest.fixture(params=[pytest.param("spark", marks=pytest.mark.slow), "dask"])
def cluster(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An engine, and the setting that names its running cluster."""
    if request.param == "spark":
        return "spark", f"spark.master={request.getfixturevalue('spark_master')}"
    return "dask", f"dask.scheduler={request.getfixturevalue('dask_scheduler')}"


def workers(engine: str) -> list[psutil.Process]:
    """The cluster's processes that hold its Python workers: Spark's executors, Dask's worker processes."""
    family = psutil.Process().children(recursive=True)
    if engine == "spark":
        return [process for process in family if "CoarseGrainedExecutorBackend" in _command(process)]
    nannies = [process for process in family if "distributed.cli.dask_worker" in _command(process)]
    return [child for nanny in nannies for child in nanny.children() if "spawn_main" in _command(child)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def expected_parts(cli: Cli, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert cli("run", "-e", "local", *SLOWER, "-i", photos, "-o", run).code == 0
    return part_bytes(run)


def test_a_killed_worker_costs_nothing_but_time(
    cli: Cli, cluster: tuple[str, str], photos: Path, tmp_path: Path, expected_parts: dict[str, bytes]
) -> None:
    engine, setting = cluster
    run = tmp_path / "run"
    arguments = ["run", "-e", engine, *SLOWER, "--set", setting, "-i", photos, "-o", run]
    process = cli.start(*arguments, PYSPARK_PYTHON=sys.executable)
    assert wait_for(lambda: len(workers(engine)) == 2)
    victim = workers(engine)[0]
    assert started(process, run, parts=1)
    victim.send_signal(signal.SIGKILL)
    assert len(list((run / "features").glob("*.parquet"))) < len(expected_parts) // 2
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert part_bytes(run) == expected_parts


def test_workers_without_fruitscale_are_reported(cli: Cli, spark_master: str, photos: Path, tmp_path: Path) -> None:
    arguments = ["run", "-e", "spark", *SLOWER, "--set", f"spark.master={spark_master}", "-i", photos]
    ran = cli(*arguments, "-o", tmp_path / "run", PYSPARK_PYTHON="/usr/bin/python3")
    assert ran.code == 1
    assert "spark.conf.spark.pyspark.python" in ran.err


def test_folders_that_the_workers_do_not_see_are_refused(cli: Cli, tmp_path: Path) -> None:
    """Each worker checks for itself: folders that are missing here stand for those of another machine."""
    from fruitscale.stages import FolderProbe, sees_folders

    there = tmp_path / "in"
    there.mkdir()
    assert sees_folders(FolderProbe(str(there), str(tmp_path / "out" / "_run" / "lock")), None) == (True, False)
    assert sees_folders(FolderProbe(str(tmp_path / "nowhere"), str(there)), None) == (False, False)
