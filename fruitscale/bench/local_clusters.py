"""Clusters on loopback whose workers can be killed: Spark standalone, or a Dask scheduler, with two workers each.

Every process is a child that ends with this one, even after SIGKILL. Run as a script, this module wraps a command that
is not a Python module: `python -m fruitscale.bench.local_clusters COMMAND…`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fruitscale import processes
from fruitscale.engines.java import find_java
from fruitscale.errors import EngineError, MissingExtraError

START_SECONDS = 90
LIGHT_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # halves the start-up time
WORKERS = ("a", "b")


@dataclass
class LocalCluster:
    """A running cluster: the address of its master, and its one-core workers."""

    address: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def kill_worker(self) -> None:
        """Kill one worker and all its processes with SIGKILL, as if its machine were lost."""
        processes.stop(self.workers.pop(0))


@contextmanager
def spark_cluster(folder: Path) -> Iterator[LocalCluster]:
    """Start Spark standalone with its logs in `folder`; its address is spark://host:port.

    Raises MissingExtraError without PySpark, EngineError without Java or if it doesn't start.
    """
    try:
        import pyspark
    except ModuleNotFoundError:
        raise MissingExtraError("PySpark", "spark") from None
    home = Path(pyspark.__file__).parent
    variables = {
        "JAVA_HOME": str(find_java(pyspark.__version__).home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(home),
        "SPARK_DAEMON_MEMORY": "256m", "JDK_JAVA_OPTIONS": LIGHT_JAVA, "PYSPARK_PYTHON": sys.executable,
    }  # fmt: skip
    start = [str(home / "bin" / "spark-class")]
    common = ["--host", "127.0.0.1", "--webui-port", "0"]
    master = [*start, "org.apache.spark.deploy.master.Master", *common, "--port", "0"]
    worker = [*start, "org.apache.spark.deploy.worker.Worker", *common, "--cores", "1", "--memory", "1g"]
    with _stopped_at_exit() as children:
        children.append(_spawn("fruitscale.bench.local_clusters", master, variables, folder / "master.log"))
        cluster = LocalCluster(_await(lambda: _find(r"Starting Spark master at (\S+)", folder / "master.log"), folder))
        for name in WORKERS:
            command = [*worker, "--work-dir", str(folder / name), cluster.address]
            cluster.workers.append(
                _spawn("fruitscale.bench.local_clusters", command, variables, folder / f"{name}.log")
            )
            children.append(cluster.workers[-1])
        for name in WORKERS:
            _await(lambda name=name: _find(r"(Successfully registered)", folder / f"{name}.log"), folder)  # type: ignore[misc]
        yield cluster


@contextmanager
def dask_cluster(folder: Path) -> Iterator[LocalCluster]:
    """Start a Dask scheduler and two workers with their logs in `folder`; its address is tcp://host:port.

    Raises EngineError if it doesn't start.
    """
    address_path = folder / "scheduler.json"
    common = ["--host", "127.0.0.1", "--scheduler-file", str(address_path)]
    scheduler = [*common, "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    worker = [*common, "--nthreads", "1", "--no-dashboard"]
    with _stopped_at_exit() as children:
        children.append(_spawn("distributed.cli.dask_scheduler", scheduler, {}, folder / "scheduler.log"))
        cluster = LocalCluster(_await(lambda: _address(address_path), folder))
        for name in WORKERS:
            command = [*worker, "--local-directory", str(folder / name)]
            cluster.workers.append(_spawn("distributed.cli.dask_worker", command, {}, folder / f"{name}.log"))
            children.append(cluster.workers[-1])
        for name in WORKERS:
            _await(lambda name=name: _find(r"(Registered to:)", folder / f"{name}.log"), folder)  # type: ignore[misc]
        yield cluster


def _spawn(module: str, arguments: list[str], more: Mapping[str, str], log_path: Path) -> subprocess.Popen[bytes]:
    with log_path.open("ab") as log:
        return processes.start(module, arguments, output=log, environment=more)


@contextmanager
def _stopped_at_exit() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a list; on exit, stop the processes in it and their descendants, last first."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        yield children
    finally:
        for process in reversed(children):
            if process.returncode is None:  # not killed yet
                processes.stop(process)


def _await(find: Callable[[], str | None], folder: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.1)
    raise EngineError(f"The cluster did not start in {START_SECONDS} s.", f"Its logs are in {folder}")


def _address(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["address"])
    except (OSError, ValueError, KeyError):  # not written yet, or only partly
        return None


def _find(pattern: str, path: Path) -> str | None:
    found = re.search(pattern, path.read_text(errors="replace"))
    return found[1] if found else None


if __name__ == "__main__":
    sys.exit(subprocess.call(sys.argv[1:]))
