"""Real clusters on loopback: a Spark master with two workers, a Dask scheduler with two workers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fruitscale.engines.java import find_java

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
LIGHT_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # starts in half the time


@contextmanager
def spark_cluster(folder: Path) -> Iterator[str]:
    """Start a standalone Spark; yield spark://host:port."""
    import pyspark

    home = Path(pyspark.__file__).parent
    variables = _variables(JAVA_HOME=str(find_java(pyspark.__version__).home), SPARK_LOCAL_IP="127.0.0.1")
    variables |= {"SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "256m", "JDK_JAVA_OPTIONS": LIGHT_JAVA}
    start = [str(home / "bin" / "spark-class")]
    master = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
    worker = [
        "org.apache.spark.deploy.worker.Worker",
        "--host",
        "127.0.0.1",
        "--webui-port",
        "0",
        "--cores",
        "1",
        "--memory",
        "1g",
    ]
    with _ended() as processes:
        processes.append(_spawn([*start, *master], variables, folder / "master.log"))
        uri = _await(lambda: _find(r"Starting Spark master at (\S+)", folder / "master.log"))
        for name in ("a", "b"):
            command = [*start, *worker, "--work-dir", str(folder / name), uri]
            processes.append(_spawn(command, variables, folder / f"{name}.log"))
        for name in ("a", "b"):
            _await(lambda name=name: _find(r"(Successfully registered)", folder / f"{name}.log"))  # type: ignore[misc]
        yield uri


@contextmanager
def dask_cluster(folder: Path) -> Iterator[str]:
    """Start a Dask scheduler and two workers; yield tcp://host:port."""
    address_path = folder / "scheduler.json"
    common = ["--host", "127.0.0.1"]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", *common, "--port", "0"]
    scheduler += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(address_path)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", *common, "--scheduler-file", str(address_path)]
    worker += ["--nthreads", "1", "--no-dashboard"]
    with _ended() as processes:
        processes.append(_spawn(scheduler, _variables(), folder / "scheduler.log"))
        address = _await(lambda: json.loads(address_path.read_text())["address"] if address_path.exists() else None)
        for name in ("a", "b"):
            command = [*worker, "--local-directory", str(folder / name)]
            processes.append(_spawn(command, _variables(), folder / f"{name}.log"))
        yield address


@pytest.fixture(scope="module")
def spark_master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with spark_cluster(tmp_path_factory.mktemp("spark")) as uri:
        yield uri


@pytest.fixture(scope="module")
def dask_scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as address:
        yield address


def _variables(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, **more}


def _spawn(command: list[str], variables: dict[str, str], log_path: Path) -> subprocess.Popen[bytes]:
    with log_path.open("ab") as log:
        return subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


@contextmanager
def _ended() -> Iterator[list[subprocess.Popen[bytes]]]:
    """End the processes in the list, and all that they started, each by its id."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        yield processes
    finally:
        family = [psutil.Process(process.pid) for process in processes if process.poll() is None]
        family += [child for parent in family for child in parent.children(recursive=True)]
        for member in family:
            if member.is_running():
                member.terminate()
        for member in psutil.wait_procs(family, timeout=5)[1]:
            member.kill()
        for process in processes:
            process.wait()


def _await(look: Callable[[], str | None]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise TimeoutError("the cluster did not start")


def _find(pattern: str, path: Path) -> str | None:
    found = re.search(pattern, path.read_text(errors="replace"))
    return found[1] if found else None
