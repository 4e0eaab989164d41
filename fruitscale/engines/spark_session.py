"""Opens the SparkContext of a run: an active one is adopted, else one is started with a Java of its own."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyspark

from fruitscale.config.schema import Config
from fruitscale.engines import spark_internals
from fruitscale.engines.base import probe
from fruitscale.engines.java import find_java
from fruitscale.engines.spark_refusals import java_message, refusal
from fruitscale.engines.spark_settings import addresses, choose_master, defaults, environment, java_variables
from fruitscale.errors import EngineError
from fruitscale.processes import child_environment
from fruitscale.storage.scratch import ScratchFolder

PROBE_SECONDS = 5
START_SECONDS = 120
EXECUTOR_SECONDS = 30
ENDING_SECONDS = 2


class SparkSessionHandle:
    """A SparkContext, either adopted or started with its Java. Raises EngineError if it can't be opened."""

    def __init__(self, config: Config, slots: int) -> None:
        self.log_path: Path | None = None
        self.application: str | None = None
        """YARN's id of the application."""
        self._yarn_name = ""
        self._scratch: ScratchFolder | None = None
        self._their_python: str | None = None
        self._log_is_named = False
        self._gateway: Any = None
        self.context: Any = spark_internals.active_context()
        self.is_ours = self.context is None
        try:
            if self.is_ours:
                self._start(config, slots)
            else:
                self._adopt(config.spark.master)
            if str(self.context.master).startswith("yarn"):
                self.application = self.context.applicationId
            self._wait_for_executors()
        except BaseException:
            self.stop()
            raise

    @property
    def is_local(self) -> bool:
        """Whether the master is local[n]."""
        return str(self.context.master).startswith("local")

    def name_log(self) -> Path | None:
        """Return the path of Spark's log for a message; the log is then kept after the end."""
        if self.log_path is None or not self.log_path.exists():  # spark-submit started Java
            return None
        self._log_is_named = True
        if self._scratch is not None:
            self._scratch.keep()
        return self.log_path

    def log_hint(self) -> str | None:
        """Return a hint to Spark's log: our file, or the output of spark-submit, if that started Java."""
        if "PYSPARK_GATEWAY_PORT" in os.environ:
            logs = f"; those of executors: yarn logs -applicationId {self.application}" if self.application else ""
            return f"Spark's log is in the output of spark-submit{logs}."
        log_path = self.name_log()
        return f"Spark's log: {log_path}" if log_path else None

    def diagnostics(self) -> str:
        """Return why YARN ended the application; empty if YARN doesn't know it or doesn't run it."""
        if not self.application and not self._yarn_name:
            return ""
        with suppress(Exception):  # it may be gone too
            return spark_internals.yarn_diagnostics(self.application, self._yarn_name)
        return ""

    def java_ended(self) -> bool:
        """Return whether the session's Java is gone; its connections break a moment before its process ends."""
        process = spark_internals.java_process(self._gateway)
        if process is None:
            return False
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=ENDING_SECONDS)
        return process.returncode is not None

    def stop(self) -> None:
        """End the session and its Java if they were started here; give an adopted one its Python back."""
        context, self.context = self.context, None
        gateway, self._gateway = self._gateway, None
        if context is not None and not self.is_ours:
            if self._their_python is not None:
                spark_internals.set_worker_python(context, self._their_python)
        elif context is not None:
            with suppress(Exception):
                spark_internals.stop(context)
        if gateway is not None:
            spark_internals.end_java(gateway)

    def remove_log(self) -> None:
        """Remove the log, unless a message named it."""
        if self._scratch is not None and not self._log_is_named:
            self._scratch.remove()

    def _adopt(self, master: str | None) -> None:
        """Use the active session."""
        if master not in (None, self.context.master):
            raise EngineError(
                f"spark.master is {master}, but a session on {self.context.master} is already active.",
                "Stop that session, or leave out spark.master to use it.",
            )
        is_set = "PYSPARK_PYTHON" in os.environ or self.context.getConf().contains("spark.pyspark.python")
        if self.is_local and not is_set:
            self._their_python = spark_internals.worker_python(self.context)
            spark_internals.set_worker_python(self.context, sys.executable)

    def _start(self, config: Config, slots: int) -> None:
        if os.environ.get("SPARK_REMOTE") or os.environ.get("SPARK_CONNECT_MODE_ENABLED"):
            raise EngineError(
                "fruitscale needs classic Spark, but the environment selects Spark Connect.", "Unset SPARK_REMOTE."
            )
        master = choose_master(config, slots, os.environ, spark_internals.spark_home())
        for host, port in addresses(master or ""):
            probe(host, port, PROBE_SECONDS, "The Spark master")
        self._scratch = ScratchFolder("spark")
        self.log_path = self._scratch.path / "spark.log"
        failures: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        # In a thread: the start has no timeout of its own, and Spark's SIGINT handler is for the main thread only.
        threading.Thread(target=self._open, args=(config, master, failures), daemon=True).start()
        try:
            failure = failures.get(timeout=START_SECONDS)
        except queue.Empty:
            raise self._not_started(f"it took longer than {START_SECONDS} s") from None
        if isinstance(failure, EngineError):
            raise failure
        if failure is not None:
            known = refusal(str(failure), self.diagnostics(), self.log_hint())
            raise known or self._not_started(java_message(str(failure))) from failure

    def _open(self, config: Config, master: str | None, failures: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            spark_internals.skip_pandas()
            if "PYSPARK_GATEWAY_PORT" not in os.environ and not spark_internals.has_gateway():
                self._launch_java({"spark.app.name": "fruitscale", **config.spark.conf}, master)
            conf = pyspark.SparkConf()
            for key, value in config.spark.conf.items():
                conf.set(key, value)
            if master is not None:
                conf.setMaster(master)
            for key, value in defaults(conf.get("spark.master", ""), pyspark.__version__).items():
                conf.setIfMissing(key, value)
            if conf.get("spark.master", "").startswith("yarn"):
                self._yarn_name = conf.get("spark.app.name", "")
            self.context = pyspark.SparkContext(conf=conf)
            python = os.environ.get("PYSPARK_PYTHON", conf.get("spark.pyspark.python", "python3"))
            spark_internals.set_worker_python(self.context, python)
            spark_internals.silence_accumulators(self.context)
            failures.put(None)
        except BaseException as error:  # noqa: BLE001  raised again in the waiting thread
            failures.put(error)

    def _launch_java(self, settings: Mapping[str, str], master: str | None) -> None:
        """Start the session's Java, with its output in the log file."""
        assert self.log_path is not None
        variables = java_variables(find_java(pyspark.__version__).home, master, os.environ)
        variables["SPARK_HOME"] = spark_internals.spark_home()
        child = child_environment({})  # for the Python workers, which inherit Java's environment
        variables |= {name: child[name] for name in ("PYTHONSAFEPATH", "PYTHONPATH") if name in child}
        conf = {**settings, **({"spark.master": master} if master else {})}
        with environment(variables):
            self._gateway = spark_internals.launch_java(conf, self.log_path)

    def _not_started(self, reason: str) -> EngineError:
        return EngineError(f"Spark could not be started: {reason}", self.log_hint())

    def _wait_for_executors(self) -> None:
        """Wait for the first executor of a standalone master; without one, jobs would wait for ever."""
        is_dynamic = self.context.getConf().get("spark.dynamicAllocation.enabled") == "true"
        if not addresses(self.context.master) or is_dynamic:
            return
        deadline = time.monotonic() + EXECUTOR_SECONDS
        while spark_internals.count_block_managers(self.context) < 2:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{self.context.master} provided no executor within {EXECUTOR_SECONDS} s.",
                    "Check its workers, and that cores and memory are free: another application may hold them all.",
                )
            time.sleep(0.1)
