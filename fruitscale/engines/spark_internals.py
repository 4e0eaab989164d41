"""Everything of PySpark that we use and it does not promise, each with its reason.

tests/contract/test_private_names.py fails, and names the item, if an upgrade takes one away.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyspark
from pyspark.find_spark_home import _find_spark_home
from pyspark.java_gateway import launch_gateway


class Executors(NamedTuple):
    """The executors of a cluster: their cores, their number and the machines they run on."""

    cores: int
    workers: int
    machines: int


def active_context() -> Any:  # noqa: ANN401  PySpark has no types here
    """Return the active SparkContext, or None. The public `getOrCreate` would start one."""
    return pyspark.SparkContext._active_spark_context


def spark_home() -> str:
    """Return the folder of the installed Spark. PySpark has no public function for it."""
    home: str = _find_spark_home()
    return home


def has_gateway() -> bool:
    """Return whether PySpark already has a Java process in this process."""
    return pyspark.SparkContext._gateway is not None


def launch_java(conf: Mapping[str, str], log_path: Path) -> Any:  # noqa: ANN401
    """Start the session's Java and return its gateway. The public way prints Java's output on the user's terminal."""
    settings = pyspark.SparkConf(loadDefaults=False)
    for key, value in conf.items():
        settings.set(key, value)
    with log_path.open("ab") as log:
        gateway = launch_gateway(settings, {"stdout": log, "stderr": log})
    pyspark.SparkContext._ensure_initialized(gateway=gateway)
    return gateway


def end_java(gateway: Any) -> None:  # noqa: ANN401
    """End the session's Java. A context whose Java died can't stop itself, and the next one must not find it."""
    with suppress(Exception):
        gateway.shutdown()
    pyspark.SparkContext._gateway = pyspark.SparkContext._jvm = pyspark.SparkContext._active_spark_context = None
    if gateway.proc is None:
        return
    gateway.proc.stdin.close()  # Java ends when its standard input does
    try:
        gateway.proc.wait(timeout=10)
    except Exception:  # noqa: BLE001  it does not end by itself
        gateway.proc.kill()
        gateway.proc.wait()


def java_process(gateway: Any) -> Any:  # noqa: ANN401
    """Return the process of the session's Java, or None: to distinguish a Java that died from a failed job."""
    return gateway and gateway.proc


def worker_python(context: Any) -> str:  # noqa: ANN401
    """Return the Python of the workers of a context."""
    python: str = context.pythonExec
    return python


def set_worker_python(context: Any, python: str) -> None:  # noqa: ANN401
    """Set the Python of the workers. PYSPARK_PYTHON is read when a context starts, so an adopted one has its own."""
    context.pythonExec = python


def silence_accumulators(context: Any) -> None:  # noqa: ANN401
    """Keep the accumulator server from printing a traceback if Java dies: the job's error reports that."""
    context._accumulatorServer.handle_error = lambda *_: None


def stop(context: Any) -> None:  # noqa: ANN401
    """Stop a context without waiting for its accumulator server, which checks once per second whether to end.

    Saves 0.8 s per run (1.05 s against 0.26 s, median of 5).
    """
    server, context._accumulatorServer = context._accumulatorServer, None
    context.stop()
    threading.Thread(target=server.shutdown, daemon=True).start()


def count_block_managers(context: Any) -> int:  # noqa: ANN401
    """Return the number of executors plus one, the driver. The public status tracker does not list executors."""
    count: int = context._jsc.sc().getExecutorMemoryStatus().size()
    return count


def executors(context: Any) -> Executors:  # noqa: ANN401
    """Return the executors of a cluster. The public status tracker does not list them; the REST API needs the UI."""
    summaries = context._jsc.sc().statusStore().executorList(True)
    found = [summary for summary in map(summaries.apply, range(summaries.size())) if summary.id() != "driver"]
    machines = {summary.hostPort().rpartition(":")[0] for summary in found}
    return Executors(sum(summary.totalCores() for summary in found), len(found), len(machines))


def yarn_diagnostics(application: str | None, name: str) -> str:
    """Return YARN's diagnostics of an application, or of the newest with a name; PySpark's jars contain YARN's client."""
    yarn = pyspark.SparkContext._jvm.org.apache.hadoop.yarn
    client = yarn.client.api.YarnClient.createYarnClient()
    client.init(yarn.conf.YarnConfiguration())
    client.start()
    try:
        if application:
            found = client.getApplicationReport(yarn.api.records.ApplicationId.fromString(application))
        else:
            named = [report for report in client.getApplications() if report.getName() == name]
            found = max(named, key=lambda report: report.getStartTime())
        return str(found.getDiagnostics() or "")
    finally:
        client.stop()


def skip_pandas() -> None:
    """Keep PySpark 4's NumPy converters from importing its test helpers, and pandas with them, at the first call.

    The converters ask these only whether NumPy is installed. Saves about 1 s of the first map (median of 5), and a warning.
    """
    from pyspark.sql import types

    if hasattr(types, "NumpyArrayConverter"):
        types.NumpyArrayConverter.can_convert = lambda _self, obj: isinstance(obj, np.ndarray) and obj.ndim == 1
        types.NumpyScalarConverter.can_convert = lambda _self, obj: isinstance(obj, np.generic)
