"""Spark: one job a map, several of our tasks a Spark task, results as Spark tasks end.

Results travel as updates of an accumulator: Spark applies those of an action once for each task that succeeds, and at
once, so that the driver sees results while the job runs, and none twice after a retry or a speculative copy.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyspark
from pyspark.find_spark_home import _find_spark_home
from pyspark.java_gateway import launch_gateway

from fruitscale.config.schema import Config
from fruitscale.engines.base import EngineInfo, SharedValue, attempt_all, cut, outcomes_of, probe, task_failed
from fruitscale.engines.java import find_java
from fruitscale.engines.spark_settings import (
    LOCAL_FAILURES,
    addresses,
    choose_master,
    defaults,
    environment,
    java_variables,
    python_failure,
)
from fruitscale.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")

PROBE_SECONDS = 5
START_SECONDS = 120
EXECUTOR_SECONDS = 30
ENDING_SECONDS = 2


@dataclass(frozen=True)
class Broadcast:
    """Bytes that Spark brings to each worker process once."""

    broadcast: Any

    def value(self) -> bytes:
        """Return the bytes."""
        payload: bytes = self.broadcast.value
        return payload


class ResultInbox:
    """An accumulator's parameter, in Spark's sense, whose driver side puts each update into a queue."""

    def __init__(self, updates: queue.SimpleQueue[Any] | None = None) -> None:
        self._updates = updates

    def zero(self, _value: list[bytes]) -> list[bytes]:
        """Return what a worker starts with."""
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
        self._their_python: str | None = None
        self._log_is_named = False
        self._gateway: Any = None
        self._log_path: Path | None = None
        self._context: Any = pyspark.SparkContext._active_spark_context
        self._owned = self._context is None
        try:
            if self._owned:
                self._start(config, slots)
            else:
                self._adopt(config.spark.master)
            self._wait_for_executors()
            self._info = self._look()
        except BaseException:
            self._stop()
            raise
        if warm and self._info.cores <= slots and self._is_local():
            threading.Thread(target=self._warm_up, args=(warm,), daemon=True).start()

    def share(self, payload: bytes) -> SharedValue:
        """Broadcast the bytes."""
        broadcast = self._context.broadcast(payload)
        self._broadcasts.append(broadcast)
        return Broadcast(broadcast)

    def map(
        self, function: Callable[[T, SharedValue | None], R], tasks: Sequence[T], shared: SharedValue | None = None
    ) -> Iterator[R]:
        """Yield the results as their Spark tasks end. Raises what base.Engine says."""
        updates: queue.SimpleQueue[Any] = queue.SimpleQueue()
        group = f"fruitscale-{uuid.uuid4()}"
        self._groups.append(group)
        left = len(tasks)
        job = pyspark.InheritableThread(
            target=self._run_job, args=(group, function, tasks, shared, updates), daemon=True
        )
        if left:
            job.start()
        try:
            while left:
                update = updates.get()
                if isinstance(update, BaseException):
                    raise self._explain(update) from None
                for outcome in outcomes_of(update):
                    left -= 1
                    yield outcome.unwrap()
        finally:
            if left and job.is_alive():
                self._cancel(group)
            if job.ident is not None:
                job.join(timeout=10)

    def describe(self) -> EngineInfo:
        """Tell what runs the tasks: the most that was seen, for executors come and go."""
        if self._context is not None:
            with contextlib.suppress(Exception):  # a dead JVM is no reason not to tell what ran
                now = self._look()
                self._info = replace(max(self._info, now, key=lambda info: info.cores), retries=now.retries)
        return self._info

    def close(self) -> None:
        """End the session and its Java, when they were started here."""
        self._stop()
        if self._log_path is not None and not self._log_is_named:
            shutil.rmtree(self._log_path.parent, ignore_errors=True)

    # -- one job

    def _run_job(self, group: str, function: Any, tasks: Sequence[Any], shared: Any, updates: Any) -> None:  # noqa: ANN401
        try:
            inbox = self._context.accumulator([], ResultInbox(updates))
            chunks = cut(tasks, self._info.cores)
            self._context.setJobGroup(group, f"fruitscale: {len(tasks)} tasks")
            self._context.parallelize(chunks, len(chunks)).foreach(
                lambda chunk: _run_chunk(chunk, function, shared, inbox)
            )
            updates.put(RuntimeError("Spark finished the job without handing over every result"))
        except Exception as error:  # noqa: BLE001  raised again where the results are read
            updates.put(error)

    def _cancel(self, group: str) -> None:
        with contextlib.suppress(Exception):  # a dead JVM has nothing left to cancel
            self._context.cancelJobGroup(group)

    def _explain(self, error: BaseException) -> EngineError:
        text = str(error)
        self._log_is_named = True
        if python := python_failure(text):
            if python.startswith("ModuleNotFoundError"):
                return EngineError(
                    f"The Python of Spark's workers lacks something: {python}",
                    "Install fruitscale there, and say which Python it is: --set spark.conf.spark.pyspark.python=PATH",
                )
            return task_failed(python, self._log_path)
        hint = f"Spark's log: {self._log_path}" if self._log_path else None
        if "Python worker exited unexpectedly" in text or "ExecutorLostFailure" in text:
            return EngineError(
                "Worker processes of Spark kept being killed; the system does that when memory runs out.", hint
            )
        if self._java_ended():
            return EngineError("Spark's Java process ended; the system does that when memory runs out.", hint)
        reason = re.search(r"(?:stage failure|SparkException): (.+)", text)
        return EngineError(f"Spark gave up: {(reason[1] if reason else text.strip()[:300])}", hint)

    def _java_ended(self) -> bool:
        """Tell whether the session's Java is gone; its connections break a moment before its process ends."""
        process = self._gateway and self._gateway.proc
        if process is None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=ENDING_SECONDS)
        return process.returncode is not None

    def _warm_up(self, modules: tuple[str, ...]) -> None:
        with contextlib.suppress(Exception):
            cores = self._info.cores
            self._context.parallelize([modules] * cores, cores).foreach(_import)

    # -- the session

    def _adopt(self, master: str | None) -> None:
        """Use the session that is active."""
        if master not in (None, self._context.master):
            raise EngineError(
                f"spark.master is {master}, and a session on {self._context.master} is already active.",
                "Stop that session, or leave spark.master out to use it.",
            )
        said = "PYSPARK_PYTHON" in os.environ or self._context.getConf().contains("spark.pyspark.python")
        if self._is_local() and not said:
            self._their_python = self._context.pythonExec
            self._context.pythonExec = sys.executable

    def _start(self, config: Config, slots: int) -> None:
        if os.environ.get("SPARK_REMOTE") or os.environ.get("SPARK_CONNECT_MODE_ENABLED"):
            raise EngineError(
                "fruitscale needs Spark itself, and the environment asks for Spark Connect.", "Unset SPARK_REMOTE."
            )
        master = choose_master(config, slots, os.environ, _find_spark_home())
        for host, port in addresses(master or ""):
            probe(host, port, PROBE_SECONDS, "The Spark master")
        self._log_path = Path(tempfile.mkdtemp(prefix="fruitscale-spark-")) / "spark.log"
        failures: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        # In a thread: the start has no time limit of its own, and Spark's SIGINT handler is for the main thread only.
        threading.Thread(target=self._open, args=(config, master, failures), daemon=True).start()
        try:
            failure = failures.get(timeout=START_SECONDS)
        except queue.Empty:
            raise self._not_started(f"it took longer than {START_SECONDS} s") from None
        if isinstance(failure, EngineError):
            raise failure
        if failure is not None:
            raise self._not_started(str(failure).strip().splitlines()[0]) from failure

    def _open(self, config: Config, master: str | None, failures: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            _skip_test_helpers()
            if "PYSPARK_GATEWAY_PORT" not in os.environ and pyspark.SparkContext._gateway is None:
                self._launch({"spark.app.name": "fruitscale", **config.spark.conf}, master)
            conf = pyspark.SparkConf()
            for key, value in config.spark.conf.items():
                conf.set(key, value)
            if master is not None:
                conf.setMaster(master)
            for key, value in defaults(conf.get("spark.master", ""), pyspark.__version__).items():
                conf.setIfMissing(key, value)
            self._context = pyspark.SparkContext(conf=conf)
            self._context.pythonExec = os.environ.get("PYSPARK_PYTHON", conf.get("spark.pyspark.python", "python3"))
            # It would print a traceback of its own when Java dies; the job's error is the one to tell.
            self._context._accumulatorServer.handle_error = lambda *_: None
            failures.put(None)
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            failures.put(error)

    def _launch(self, settings: Mapping[str, str], master: str | None) -> None:
        """Start the Java of the session, with everything that it prints in the log file."""
        assert self._log_path is not None
        conf = pyspark.SparkConf(loadDefaults=False)
        for key, value in {**settings, **({"spark.master": master} if master else {})}.items():
            conf.set(key, value)
        variables = java_variables(find_java(pyspark.__version__).home, master, os.environ)
        variables["SPARK_HOME"] = _find_spark_home()
        with self._log_path.open("ab") as log, environment(variables):
            self._gateway = launch_gateway(conf, {"stdout": log, "stderr": log})
        pyspark.SparkContext._ensure_initialized(gateway=self._gateway)

    def _stop(self) -> None:
        context, self._context = self._context, None
        gateway, self._gateway = self._gateway, None
        if context is not None and not self._owned:
            if self._their_python is not None:
                context.pythonExec = self._their_python
            for broadcast in self._broadcasts:
                with contextlib.suppress(Exception):
                    broadcast.destroy()
        elif context is not None:
            with contextlib.suppress(Exception):
                _stop_context(context)
        self._broadcasts.clear()
        if gateway is not None:
            _end_java(gateway)

    def _not_started(self, why: str) -> EngineError:
        self._log_is_named = True
        return EngineError(f"Spark could not be started: {why}", f"Spark's log: {self._log_path}")

    def _is_local(self) -> bool:
        return str(self._context.master).startswith("local")

    def _wait_for_executors(self) -> None:
        """Wait for the first executor of a standalone master, which otherwise keeps jobs waiting for ever."""
        if (
            not addresses(self._context.master)
            or self._context.getConf().get("spark.dynamicAllocation.enabled") == "true"
        ):
            return
        deadline = time.monotonic() + EXECUTOR_SECONDS
        while self._context._jsc.sc().getExecutorMemoryStatus().size() < 2:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{self._context.master} gave no executor within {EXECUTOR_SECONDS} s.",
                    "Check its workers, and that cores and memory are free: another application may hold them all.",
                )
            time.sleep(0.1)

    def _look(self) -> EngineInfo:
        context = self._context
        master = str(context.master).replace(f",{LOCAL_FAILURES}]", "]")
        cores, workers, machines = context.defaultParallelism, 1, 1
        if not self._is_local():
            summaries = context._jsc.sc().statusStore().executorList(True)
            executors = [summaries.apply(i) for i in range(summaries.size())]
            executors = [executor for executor in executors if executor.id() != "driver"]
            cores, workers = sum(executor.totalCores() for executor in executors) or cores, len(executors)
            machines = len({executor.hostPort().rpartition(":")[0] for executor in executors})
        page, failed = context.uiWebUrl, self._failed_tasks()
        return EngineInfo("spark", context.version, master, cores, workers, page, failed, machines)

    def _failed_tasks(self) -> int:
        """Count the Spark tasks that failed and were run again, over all maps."""
        tracker = self._context.statusTracker()
        jobs = [tracker.getJobInfo(job) for group in self._groups for job in tracker.getJobIdsForGroup(group)]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
        return sum(stage.numFailedTasks for stage in stages if stage)


def _run_chunk(chunk: Sequence[Any], function: Any, shared: SharedValue | None, inbox: Any) -> None:  # noqa: ANN401
    inbox.add([attempt_all(function, chunk, shared)])
    _spare_collector()


def _spare_collector() -> None:
    """Take the objects of imported modules, which stay anyway, from what the garbage collector looks through.

    PySpark's daemon has it look through everything after each task: 20 to 50 ms of CPU.
    """
    global _frozen_at  # noqa: PLW0603  one process, one collector
    if len(sys.modules) != _frozen_at:
        _frozen_at = len(sys.modules)
        gc.collect()
        gc.freeze()


_frozen_at = 0


def _skip_test_helpers() -> None:
    """Keep PySpark 4 from importing its test helpers, and pandas with them, a second and a warning, at the first call.

    It asks them only whether NumPy is installed, which it is.
    """
    from pyspark.sql import types

    if hasattr(types, "NumpyArrayConverter"):
        types.NumpyArrayConverter.can_convert = lambda _self, obj: isinstance(obj, np.ndarray) and obj.ndim == 1
        types.NumpyScalarConverter.can_convert = lambda _self, obj: isinstance(obj, np.generic)


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def _stop_context(context: Any) -> None:  # noqa: ANN401
    """Stop a context that was made here, and don't wait for its accumulator server, which looks up once a second."""
    server, context._accumulatorServer = context._accumulatorServer, None
    context.stop()
    threading.Thread(target=server.shutdown, daemon=True).start()


def _end_java(gateway: Any) -> None:  # noqa: ANN401
    with contextlib.suppress(Exception):
        gateway.shutdown()
    # A context whose Java died can't stop itself; the next one must not find it.
    pyspark.SparkContext._gateway = pyspark.SparkContext._jvm = pyspark.SparkContext._active_spark_context = None
    if gateway.proc is None:
        return
    gateway.proc.stdin.close()  # what tells it to end
    try:
        gateway.proc.wait(timeout=10)
    except Exception:  # noqa: BLE001  it does not end by itself
        gateway.proc.kill()
        gateway.proc.wait()
