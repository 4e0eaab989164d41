"""Dask: several of our tasks a future. Without a scheduler's address, a cluster on this machine.

Its scheduler is in the driver, and one child starts the workers, so that a script without a `__main__` guard works and
nothing outlives the driver.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import dask.config
import distributed
from distributed.scheduler import KilledWorker

from fruitscale import processes
from fruitscale.config.schema import Config
from fruitscale.engines.base import (
    EngineInfo,
    SharedValue,
    TaskOutcome,
    attempt_all,
    cut,
    last_line,
    outcomes_of,
    probe,
    task_failed,
)
from fruitscale.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")

PROBE_SECONDS = 5
CONNECT_SECONDS = 20
WORKER_SECONDS = 60
RETRIES = 2
QUIET = {
    # On Python 3.11 the profiler can stop a process for good where threads start, as they do in our tasks:
    # https://github.com/python/cpython/issues/106883, https://github.com/dask/distributed/issues/8616
    "distributed.worker.profile.enabled": False,
    # What Dask looks at itself for, 50 times a second in each process, takes 3 % of two cores.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "1s",
}
"""Settings of a cluster of our own on this machine."""
MUST_MATCH = ("python", "dask", "distributed", "cloudpickle")


def _variable(key: str) -> str:
    """Return the environment variable of one of Dask's settings."""
    return "DASK_" + key.replace(".", "__").replace("-", "_").upper()


class PayloadPlugin(distributed.WorkerPlugin):  # type: ignore[misc]  # distributed is untyped here
    """Holds bytes on each worker, also on those that join later."""

    def __init__(self, name: str, payload: bytes) -> None:
        self.name = name
        self.payload = payload


class Reruns(distributed.SchedulerPlugin):  # type: ignore[misc]
    """Counts, in the scheduler, the tasks of a run that it took back from a worker to give to another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def transition(self, key: Any, start: str, finish: str, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401
        """Look at a change of a task's state."""
        if start == "processing" and finish in ("waiting", "released") and str(key).startswith(self.name):
            self.count += 1


def count_reruns(name: str, dask_scheduler: Any) -> int:  # noqa: ANN401
    """Return the count, in the scheduler, which passes itself under that name."""
    count: int = dask_scheduler.plugins[name].count
    return count


@dataclass(frozen=True)
class SharedPlugin:
    """Bytes that the scheduler hands to each worker once."""

    name: str

    def value(self) -> bytes:
        """Return the bytes."""
        payload: bytes = distributed.get_worker().plugins[self.name].payload
        return payload


class DaskEngine:
    """Runs tasks on Dask workers."""

    def __init__(self, config: Config, slots: int, warm: tuple[str, ...] = ()) -> None:
        self._plugins: list[str] = []
        self._client: Any = None
        self._cluster: Any = None
        self._workers: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._dashboard: threading.Thread | None = None
        self._slots = slots
        self._address = config.dask.scheduler
        self._run_name = f"fruitscale-{uuid.uuid4().hex[:12]}"
        self._maps = 0
        self._info: EngineInfo | None = None
        self._levels = _quiet()
        try:
            if self._address is None:
                self._start(slots, warm)
            else:
                self._connect(self._address)
            self._register_count()
        except BaseException:
            self.close()
            raise

    def share(self, payload: bytes) -> SharedValue:
        """Register a plugin that holds the bytes."""
        name = f"{self._run_name}-payload-{len(self._plugins)}"
        self._client.register_plugin(PayloadPlugin(name, payload), name=name)
        self._plugins.append(name)
        return SharedPlugin(name)

    def map(
        self, function: Callable[[T, SharedValue | None], R], tasks: Sequence[T], shared: SharedValue | None = None
    ) -> Iterator[R]:
        """Yield the results as they complete. Raises what base.Engine says."""
        if not tasks:
            return
        self._wait_for_workers()
        self._maps += 1
        name = f"{self._run_name}-{self._maps}"
        chunks = cut(tasks, self.describe().cores)
        futures = self._client.map(
            partial(attempt_all, function, shared=shared),
            chunks,
            key=[f"{name}-{index:06d}" for index in range(len(chunks))],
            pure=False,
            retries=RETRIES,
        )
        completed = distributed.as_completed(futures, loop=self._client.loop)
        left = set(futures)
        del futures
        if self._cluster is not None and self._dashboard is None and _has_bokeh():
            self._dashboard = threading.Thread(target=self._open_dashboard, name="dashboard", daemon=True)
            self._dashboard.start()
        try:
            while left:
                batch = completed.next_batch()
                left.difference_update(batch)
                for outcome in self._gather(batch):
                    yield outcome.unwrap()
        finally:
            if left:
                with contextlib.suppress(Exception):  # the scheduler may be gone
                    self._client.cancel(list(left))

    def describe(self) -> EngineInfo:
        """Tell what runs the tasks; on a cluster, the most that was seen."""
        if self._client is not None:
            now = self._look()
            most = now if self._info is None else max(self._info, now, key=lambda info: info.cores)
            self._info = replace(most, retries=now.retries)
        assert self._info is not None
        return self._info

    def _look(self) -> EngineInfo:
        address = self._client.scheduler.address
        ui = self._client.dashboard_link if _has_bokeh() else None
        if self._cluster is not None:  # all the workers that were asked for, also while they start
            cores = workers = self._slots
            machines = 1
        else:
            threads = self._client.nthreads()
            cores, workers = sum(threads.values()), len(threads)
            machines = len({worker.rpartition(":")[0] for worker in threads})
        return EngineInfo("dask", distributed.__version__, address, cores, workers, ui, self._reruns(), machines)

    def _register_count(self) -> None:
        with contextlib.suppress(Exception):  # a scheduler without fruitscale can still run the tasks
            self._client.register_plugin(Reruns(self._run_name), name=self._run_name)

    def _reruns(self) -> int:
        with contextlib.suppress(Exception):
            count: int = self._client.run_on_scheduler(count_reruns, self._run_name)
            return count
        return 0

    def close(self) -> None:
        """Take back what was shared; end the workers and the scheduler, when they were started here."""
        if self._dashboard is not None:
            self._dashboard.join()
        if self._client is not None:
            with contextlib.suppress(Exception):
                self.describe()
            for name in self._plugins if self._cluster is None else ():
                with contextlib.suppress(Exception):
                    self._client.unregister_worker_plugin(name)
            with contextlib.suppress(Exception):
                self._client.unregister_scheduler_plugin(self._run_name)
            self._client.close()
        if self._workers is not None:
            processes.stop(self._workers)
        if self._cluster is not None:
            self._cluster.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._client = self._workers = self._cluster = self._folder = None
        _restore(self._levels)

    def _start(self, slots: int, warm: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fruitscale-dask-"))
        told = self._folder / "scheduler.json"  # the workers wait for it, with what they import already there
        self._workers = self._start_workers(self._folder, told, slots, warm)
        with dask.config.set(QUIET):
            self._cluster = distributed.LocalCluster(
                n_workers=0,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0" if _has_bokeh() else None,
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )
        told.write_text(json.dumps({"address": self._cluster.scheduler_address}), encoding="utf-8")
        self._client = distributed.Client(self._cluster, set_as_default=False)

    def _start_workers(self, folder: Path, told: Path, slots: int, warm: Sequence[str]) -> subprocess.Popen[bytes]:
        arguments = ["--scheduler-file", str(told), "--nworkers", str(slots), "--nthreads", "1", "--nanny"]
        arguments += ["--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(folder)]
        for module in warm:
            if importlib.util.find_spec(module):
                arguments += ["--preload", module]
        with (folder / "workers.log").open("ab") as log:
            return processes.start(
                "distributed.cli.dask_worker",
                arguments,
                output=log,
                environment={_variable(key): str(value) for key, value in QUIET.items()},
                removes=folder,
            )

    def _open_dashboard(self) -> None:
        """Put Dask's pages on the scheduler's HTTP server, which is there: their libraries take 0.7 s to import."""
        with contextlib.suppress(Exception):  # a run is no worse without
            dashboard = importlib.import_module("distributed.dashboard.scheduler")
            scheduler = self._cluster.scheduler
            self._cluster.loop.add_callback(
                dashboard.connect, scheduler.http_application, scheduler.http_server, scheduler
            )

    def _connect(self, address: str) -> None:
        match = re.fullmatch(r"(?:(?:tcp|tls)://)?\[?(.+?)\]?:(\d+)", address)
        if match is None:
            raise EngineError(
                f"dask.scheduler: {address} is not tcp://host:port.", "Its port is 8786 unless it was changed."
            )
        probe(match[1], int(match[2]), PROBE_SECONDS, "The Dask scheduler")
        try:
            self._client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineError(
                f"{address} answers, but not as a Dask scheduler: {last_line(error)}",
                "Check dask.scheduler, and that Dask's version there is the one here.",
            ) from None
        self._wait_for_workers()
        self._check_versions()

    def _check_versions(self) -> None:
        found = self._client.get_versions()
        there = {"scheduler": found["scheduler"], **found["workers"]}
        for place, versions in there.items():
            for package in MUST_MATCH:
                ours, theirs = (_version(side, package) for side in (found["client"], versions))
                if ours != theirs:
                    raise EngineError(
                        f"{package} is {ours} here and {theirs} on Dask's {place}.",
                        "Install the same versions of Python, Dask and fruitscale on every machine.",
                    )

    def _wait_for_workers(self) -> None:
        """Wait for the first worker: without one, tasks would wait for ever."""
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            where = self._address or "This machine's Dask cluster"
            raise EngineError(
                f"{where} has no worker after {WORKER_SECONDS} s.{self._log_line()}",
                "Start workers with `dask worker`, or check why they ended.",
            ) from None

    def _log_line(self) -> str:
        if self._folder is None:
            return ""
        lines = (self._folder / "workers.log").read_text(errors="replace").strip().splitlines()
        return f" The last it said: {lines[-1]}" if lines else ""

    def _gather(self, batch: list[Any]) -> list[TaskOutcome]:
        """Fetch what a batch of futures gave, in one go, and let Dask forget it."""
        for future in batch:
            if future.status != "finished":
                raise self._explain(future)
        try:
            replies: list[bytes] = self._client.gather(batch)
        except Exception as error:
            raise EngineError(
                f"Dask lost a result: {last_line(error)}", "Run it again: finished parts are kept."
            ) from error
        for future in batch:
            future.release()
        return [outcome for reply in replies for outcome in outcomes_of(reply)]

    def _explain(self, future: Any) -> EngineError:  # noqa: ANN401
        error = future.exception() if future.status == "error" else None
        if error is None:
            return EngineError("Dask's scheduler lost the tasks: it ended, or was restarted.", "Run it again.")
        if isinstance(error, KilledWorker):
            return EngineError(
                f"{error.allowed_failures + 1} Dask workers died at the same task.",
                "If memory is short, lower `slots` or model.input_size; finished parts are kept.",
            )
        return task_failed(last_line(error))


def _has_bokeh() -> bool:
    return importlib.util.find_spec("bokeh") is not None


def _version(side: dict[str, Any], package: str) -> str:
    if package == "python":
        return ".".join(str(side["host"]["python"]).split(".")[:2])
    return str(side["packages"].get(package))


def _quiet() -> dict[str, int]:
    """Keep Dask's loggers off the screen; return their levels."""
    levels = {}
    for name in ("distributed", "asyncio", "tornado"):
        logger = logging.getLogger(name)
        levels[name] = logger.level
        logger.setLevel(logging.CRITICAL)
    return levels


def _restore(levels: dict[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
