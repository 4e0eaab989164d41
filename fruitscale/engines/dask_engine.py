"""Dask: several of our tasks per future, on an existing scheduler or a cluster on this machine."""

from __future__ import annotations

import contextlib
import logging
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import distributed

from fruitscale.config.schema import Config
from fruitscale.engines import dask_internals
from fruitscale.engines.base import (
    GROWING_CORES,
    EngineInfo,
    SharedValue,
    TaskOutcome,
    cut,
    last_line,
    no_workers,
    outcomes_of,
    probe,
    task_failed,
)
from fruitscale.engines.dask_attempts import MapAttempts
from fruitscale.engines.dask_cluster import LocalDaskCluster, has_bokeh
from fruitscale.engines.worker_watch import WorkerWatch
from fruitscale.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")

PROBE_SECONDS = 5
CONNECT_SECONDS = 20
WORKER_SECONDS = 60
MUST_MATCH = ("python", "dask", "distributed", "cloudpickle")


class PayloadPlugin(distributed.WorkerPlugin):  # type: ignore[misc]  # distributed is untyped here
    """Holds bytes on each worker, including those that join later."""

    def __init__(self, name: str, payload: bytes) -> None:
        self.name = name
        self.payload = payload


class Reruns(distributed.SchedulerPlugin):  # type: ignore[misc]
    """Counts, in the scheduler, the tasks of a run that it took back from one worker for another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def transition(self, key: Any, start: str, finish: str, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401
        """Count a task that went back from `processing`."""
        if start == "processing" and finish in ("waiting", "released") and str(key).startswith(self.name):
            self.count += 1


def count_reruns(name: str, dask_scheduler: Any) -> int:  # noqa: ANN401
    """Return the count. Runs in the scheduler, which passes itself as `dask_scheduler`."""
    count: int = dask_internals.scheduler_plugin(dask_scheduler, name).count
    return count


@dataclass(frozen=True)
class SharedPlugin:
    """Bytes that the scheduler sends to each worker once."""

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
        self._cluster: LocalDaskCluster | None = None
        self._slots = slots
        self._address = config.dask.scheduler
        self._run_name = f"fruitscale-{uuid.uuid4().hex[:12]}"
        self._worker_seconds = config.worker_timeout_seconds
        self._maps = 0
        self._resubmitted = 0
        self._info: EngineInfo | None = None
        self._log_levels = _silence_loggers()
        try:
            if self._address is None:
                self._cluster = LocalDaskCluster(slots, warm)
                self._client = self._cluster.client
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
        """Yield the results as they complete. Raises what base.Engine.map raises."""
        if not tasks:
            return
        self._wait_for_workers()
        self._maps += 1
        name = f"{self._run_name}-{self._maps}"
        chunks = cut(tasks, self.describe().cut_cores)
        attempts = MapAttempts(self._client, function, chunks, shared, name)
        futures = attempts.start()
        completed = distributed.as_completed(futures, loop=self._client.loop)
        left = set(futures)
        del futures
        if self._cluster is not None:
            self._cluster.show_dashboard()  # while the first tasks run
        watch = WorkerWatch(
            self._count_workers, self._worker_seconds, lambda: self._client.cancel(list(left.copy())), self._is_hopeless
        )
        watch.start()
        try:
            while left:
                batch = completed.next_batch()
                for future in [future for future in batch if future.status == "lost"]:
                    batch.remove(future)  # its worker died after it: Dask computes it again
                    completed.add(future)
                left.difference_update(batch)
                if watch.gave_up:
                    raise self._no_workers()
                if again := attempts.resubmit_killers(batch):
                    self._resubmitted += len(again)
                    completed.update(again)
                    left.update(again)
                for outcome in self._gather(batch, attempts):
                    yield outcome.unwrap()
        finally:
            watch.stop()
            if left:
                with contextlib.suppress(Exception):  # the scheduler may be gone
                    self._client.cancel(list(left))

    def _count_workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def _is_hopeless(self) -> bool:
        """Return whether no worker can join any more, even after restarting those of this machine."""
        return self._cluster is not None and self._cluster.has_ended() and not self._cluster.restart_workers()

    def _no_workers(self) -> EngineError:
        if self._cluster is None:
            return no_workers(
                f"The Dask scheduler {self._address}",
                self._worker_seconds,
                "Start workers with `dask worker`, or check why they ended.",
            )
        if self._cluster.has_ended():
            after = f" after tasks had killed {self._resubmitted} of them" if self._resubmitted else ""
            return EngineError(
                f"The process that starts Dask's workers ended{after}.{self._cluster.last_log_line()}",
                "Run the same command again: finished parts are kept.",
            )
        return no_workers("Dask on this machine", self._worker_seconds, f"Run it again.{self._cluster.last_log_line()}")

    def describe(self) -> EngineInfo:
        """Return what runs the tasks; on an existing cluster, the most seen so far."""
        if self._client is not None:
            now = self._current_info()
            most = now if self._info is None else max(self._info, now, key=lambda info: info.cores)
            self._info = replace(most, retries=now.retries)
        assert self._info is not None
        return self._info

    def _current_info(self) -> EngineInfo:
        address = self._client.scheduler.address
        ui = self._client.dashboard_link if has_bokeh() else None
        if self._cluster is not None:  # all requested workers, even while they start
            cores = workers = self._slots
            machines, expected = 1, 0
        else:
            found = self._client.scheduler_info(n_workers=-1)["workers"].values()
            cores, workers = sum(worker["nthreads"] for worker in found), len(found)
            machines, expected = len({worker["host"] for worker in found}), GROWING_CORES
        version, reruns = distributed.__version__, self._reruns()
        return EngineInfo("dask", version, address, cores, workers, ui, reruns, machines, expected)

    def _register_count(self) -> None:
        with contextlib.suppress(Exception):  # a scheduler without fruitscale can run the tasks too
            self._client.register_plugin(Reruns(self._run_name), name=self._run_name)

    def _reruns(self) -> int:
        with contextlib.suppress(Exception):
            count: int = self._client.run_on_scheduler(count_reruns, self._run_name)
            return count + self._resubmitted
        return self._resubmitted

    def close(self) -> None:
        """Unregister what was shared; end the workers and the scheduler if they were started here."""
        if self._cluster is not None:
            self._cluster.finish_dashboard()
        if self._client is not None:
            with contextlib.suppress(Exception):
                self.describe()
            for name in self._plugins if self._cluster is None else ():
                with contextlib.suppress(Exception):
                    self._client.unregister_worker_plugin(name)
            with contextlib.suppress(Exception):
                self._client.unregister_scheduler_plugin(self._run_name)
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        self._client = self._cluster = None
        _restore_loggers(self._log_levels)

    def _connect(self, address: str) -> None:
        match = re.fullmatch(r"(?:(?:tcp|tls)://)?\[?(.+?)\]?:(\d+)", address)
        if match is None:
            raise EngineError(f"dask.scheduler: {address} is not tcp://host:port.", "The default port is 8786.")
        probe(match[1], int(match[2]), PROBE_SECONDS, "The Dask scheduler")
        try:
            self._client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineError(
                f"{address} answers, but not as a Dask scheduler: {last_line(error)}",
                "Check dask.scheduler, and that the same version of Dask runs there.",
            ) from None
        self._wait_for_workers()
        self._check_versions()

    def _check_versions(self) -> None:
        found = self._client.get_versions()
        theirs = {"scheduler": found["scheduler"], **found["workers"]}
        for place, versions in theirs.items():
            for package in MUST_MATCH:
                here, there = (_version(side, package) for side in (found["client"], versions))
                if here != there:
                    raise EngineError(
                        f"{package} is {here} here and {there} on Dask's {place}.",
                        "Install the same versions of Python, Dask and fruitscale on every machine.",
                    )

    def _wait_for_workers(self) -> None:
        """Wait for the first worker; without one, tasks would wait for ever."""
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            where = self._address or "This machine's Dask cluster"
            log_line = "" if self._cluster is None else self._cluster.last_log_line()
            raise EngineError(
                f"{where} has no worker after {WORKER_SECONDS} s.{log_line}",
                "Start workers with `dask worker`, or check why they ended.",
            ) from None

    def _gather(self, batch: list[Any], attempts: MapAttempts) -> list[TaskOutcome]:
        """Return the outcomes of a batch of futures, fetched at once, and release the futures."""
        for future in batch:
            if future.status != "finished":
                raise self._explain(future, attempts)
        try:
            replies: list[bytes] = self._client.gather(batch)
        except Exception as error:
            raise EngineError(
                f"Dask lost a result: {last_line(error)}", "Run the same command again: finished parts are kept."
            ) from error
        for future in batch:
            future.release()
        return [outcome for reply in replies for outcome in outcomes_of(reply)]

    def _explain(self, future: Any, attempts: MapAttempts) -> EngineError:  # noqa: ANN401
        error = future.exception() if future.status == "error" else None
        if error is None:
            return EngineError(
                "Dask's scheduler lost the tasks: it ended or was restarted.", "Run the same command again."
            )
        if isinstance(error, distributed.KilledWorker):
            return EngineError(
                f"{attempts.deaths(future)} Dask workers died on the same task.",
                "If memory is short, lower `slots` or model.input_size. Finished parts are kept.",
            )
        return task_failed(last_line(error))


def _version(side: dict[str, Any], package: str) -> str:
    if package == "python":
        return ".".join(str(side["host"]["python"]).split(".")[:2])
    return str(side["packages"].get(package))


def _silence_loggers() -> dict[str, int]:
    """Silence Dask's loggers; return their levels."""
    levels = {}
    for name in ("distributed", "asyncio", "tornado"):
        logger = logging.getLogger(name)
        levels[name] = logger.level
        logger.setLevel(logging.CRITICAL)
    return levels


def _restore_loggers(levels: dict[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
