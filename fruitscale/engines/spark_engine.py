"""Spark: one job per map, several of our tasks per Spark task, results as Spark tasks end.

Results travel as updates of an accumulator. Spark applies the updates of an action once per successful task, and at once,
so the driver sees results while the job runs, and none twice after a retry or a speculative copy.
"""

from __future__ import annotations

import gc
import importlib
import queue
import re
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pyspark

from fruitscale.config.schema import Config
from fruitscale.engines import spark_internals
from fruitscale.engines.base import EngineInfo, SharedValue, attempt_all, cut, no_workers, outcomes_of, task_failed
from fruitscale.engines.spark_refusals import refusal
from fruitscale.engines.spark_session import SparkSessionHandle
from fruitscale.engines.spark_settings import LOCAL_FAILURES, expected_cores, python_failure
from fruitscale.engines.worker_watch import WorkerWatch
from fruitscale.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Broadcast:
    """Bytes that Spark sends to each worker process once."""

    broadcast: Any

    def value(self) -> bytes:
        """Return the bytes."""
        payload: bytes = self.broadcast.value
        return payload


class ResultInbox:
    """An accumulator parameter whose driver side puts each update into a queue."""

    def __init__(self, updates: queue.SimpleQueue[Any] | None = None) -> None:
        self._updates = updates

    def zero(self, _value: list[bytes]) -> list[bytes]:
        """Return the initial value in a worker."""
        return []

    def addInPlace(self, total: list[bytes], update: list[bytes]) -> list[bytes]:  # noqa: N802  Spark's name
        """Collect in a worker; pass on in the driver."""
        if self._updates is None:
            return total + update
        for item in update:
            self._updates.put(item)
        return total

    def __reduce__(self) -> tuple[type[ResultInbox], tuple[()]]:
        return ResultInbox, ()


class SparkEngine:
    """Runs tasks in Spark's Python workers."""

    def __init__(self, config: Config, slots: int, warm: tuple[str, ...] = ()) -> None:
        self._broadcasts: list[Any] = []
        self._groups: list[str] = []
        self._worker_seconds = config.worker_timeout_seconds
        self._session = SparkSessionHandle(config, slots)
        try:
            self._info = self._current_info()
        except BaseException:
            self._session.stop()
            raise
        if warm and self._info.cores <= slots and self._session.is_local:
            threading.Thread(target=self._warm_up, args=(warm,), daemon=True).start()

    def share(self, payload: bytes) -> SharedValue:
        """Broadcast the bytes."""
        broadcast = self._session.context.broadcast(payload)
        self._broadcasts.append(broadcast)
        return Broadcast(broadcast)

    def map(
        self, function: Callable[[T, SharedValue | None], R], tasks: Sequence[T], shared: SharedValue | None = None
    ) -> Iterator[R]:
        """Yield the results as their Spark tasks end. Raises what base.Engine.map raises."""
        updates: queue.SimpleQueue[Any] = queue.SimpleQueue()
        group = f"fruitscale-{uuid.uuid4()}"
        self._groups.append(group)
        left = len(tasks)
        job = pyspark.InheritableThread(
            target=self._run_job, args=(group, function, tasks, shared, updates), daemon=True
        )
        if left:
            job.start()
        watch = self._watch_executors(updates)
        try:
            while left:
                update = updates.get()
                if isinstance(update, BaseException):
                    raise update if isinstance(update, EngineError) else self._explain(update) from None
                for outcome in outcomes_of(update):
                    left -= 1
                    yield outcome.unwrap()
        finally:
            watch.stop()
            if left and job.is_alive():
                self._cancel(group)
            if job.ident is not None:
                job.join(timeout=10)

    def describe(self) -> EngineInfo:
        """Return what runs the tasks: the most seen so far, since executors come and go."""
        if self._session.context is not None:
            with suppress(Exception):  # after Java died, the last known values are returned
                now = self._current_info()
                self._info = replace(max(self._info, now, key=lambda info: info.cores), retries=now.retries)
        return self._info

    def close(self) -> None:
        """Release what was broadcast; end the session and its Java if they were started here."""
        if self._session.context is not None and not self._session.is_ours:
            for broadcast in self._broadcasts:
                with suppress(Exception):
                    broadcast.destroy()
        self._broadcasts.clear()
        self._session.stop()
        self._session.remove_log()

    def _run_job(self, group: str, function: Any, tasks: Sequence[Any], shared: Any, updates: Any) -> None:  # noqa: ANN401
        try:
            context = self._session.context
            inbox = context.accumulator([], ResultInbox(updates))
            chunks = cut(tasks, self.describe().cut_cores)
            context.setJobGroup(group, f"fruitscale: {len(tasks)} tasks")
            context.parallelize(chunks, len(chunks)).foreach(lambda chunk: _run_chunk(chunk, function, shared, inbox))
            updates.put(RuntimeError("Spark finished the job without delivering every result"))
        except Exception as error:  # noqa: BLE001  raised again where the results are read
            updates.put(error)

    def _watch_executors(self, updates: Any) -> WorkerWatch:  # noqa: ANN401
        """Report to the queue if a cluster has no executor for too long; Spark itself waits for ever."""
        context = self._session.context
        error = no_workers(
            f"Spark ({context.master})",
            self._worker_seconds,
            "Check the cluster's workers, and that cores and memory are free: another application may hold them all."
            + (
                f" YARN's view: yarn application -status {self._session.application}."
                if self._session.application
                else ""
            ),
        )
        watch = WorkerWatch(
            lambda: spark_internals.executors(context).workers, self._worker_seconds, lambda: updates.put(error)
        )
        if not self._session.is_local:
            watch.start()
        return watch

    def _cancel(self, group: str) -> None:
        with suppress(Exception):  # a dead Java has nothing left to cancel
            self._session.context.cancelJobGroup(group)

    def _explain(self, error: BaseException) -> EngineError:
        text, log_path = str(error), self._session.name_log()
        hint = self._session.log_hint()
        if known := refusal(text, self._session.diagnostics(), hint):
            return known
        if python := python_failure(text):
            if python.startswith("ModuleNotFoundError"):
                return EngineError(
                    f"A package is missing in the Python of Spark's workers: {python}",
                    "Install fruitscale there, or choose another Python: --set spark.conf.spark.pyspark.python=PATH",
                )
            return task_failed(python, log_path)
        if "Python worker exited unexpectedly" in text or "ExecutorLostFailure" in text:
            return EngineError(
                "Worker processes of Spark were killed repeatedly; the system does that when memory runs out.", hint
            )
        if self._session.java_ended():
            return EngineError("Spark's Java process ended; the system does that when memory runs out.", hint)
        reason = re.search(r"(?:stage failure|SparkException): (.+)", text)
        return EngineError(f"Spark gave up: {(reason[1] if reason else text.strip()[:300])}", hint)

    def _warm_up(self, modules: tuple[str, ...]) -> None:
        with suppress(Exception):
            cores = self._info.cores
            self._session.context.parallelize([modules] * cores, cores).foreach(_import)

    def _current_info(self) -> EngineInfo:
        context = self._session.context
        master = str(context.master).replace(f",{LOCAL_FAILURES}]", "]")
        cores, workers, machines, expected = context.defaultParallelism, 1, 1, 0
        if not self._session.is_local:
            found = spark_internals.executors(context)
            cores, workers, machines = found.cores or cores, found.workers, found.machines
            expected = expected_cores(context.getConf().get)
        page, failed = context.uiWebUrl, self._failed_tasks()
        return EngineInfo("spark", context.version, master, cores, workers, page, failed, machines, expected)

    def _failed_tasks(self) -> int:
        """Return the number of Spark tasks that failed and were retried, over all maps."""
        tracker = self._session.context.statusTracker()
        jobs = [tracker.getJobInfo(job) for group in self._groups for job in tracker.getJobIdsForGroup(group)]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
        return sum(stage.numFailedTasks for stage in stages if stage)


def _run_chunk(chunk: Sequence[Any], function: Any, shared: SharedValue | None, inbox: Any) -> None:  # noqa: ANN401
    task = pyspark.TaskContext.get()
    retry = task is not None and task.attemptNumber() > 0
    inbox.add([attempt_all(function, chunk, shared, retry=retry)])
    _freeze_modules()


def _freeze_modules() -> None:
    """Exclude the objects of imported modules from garbage collection.

    PySpark's daemon collects everything after each task, which costs 20 to 50 ms of CPU.
    """
    global _frozen_at  # noqa: PLW0603  one process, one collector
    if len(sys.modules) != _frozen_at:
        _frozen_at = len(sys.modules)
        gc.collect()
        gc.freeze()


_frozen_at = 0


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with suppress(ImportError):
            importlib.import_module(module)
