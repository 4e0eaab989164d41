"""Spark settings: the master, defaults that the user may override, and Java's environment."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fruitscale.config.schema import Config
from fruitscale.engines.base import GROWING_CORES
from fruitscale.errors import EngineError

LIGHT_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
UNLIMITED = 2**31 - 1  # Spark's own default of maxExecutors
LOCAL_FAILURES = 4  # failures allowed per task, as on a cluster; a bare local[n] allows one


def choose_master(config: Config, slots: int, variables: Mapping[str, str], home: str) -> str | None:
    """Return the master: the config's; None if spark-submit or Spark's own files name one; else local."""
    if config.spark.master is not None:
        return config.spark.master
    if "spark.master" in config.spark.conf:
        return config.spark.conf["spark.master"]
    arguments = shlex.split(variables.get("PYSPARK_SUBMIT_ARGS", ""))
    named = any(argument.startswith(("--master", "spark.master=")) for argument in arguments)
    submitted = "PYSPARK_GATEWAY_PORT" in variables
    if named or submitted or variables.get("MASTER") or _defaults_file_names_master(variables, home):
        return None
    return f"local[{slots},{LOCAL_FAILURES}]"


def addresses(master: str) -> list[tuple[str, int]]:
    """Return the host and port of a standalone master. Raises EngineError for an invalid address."""
    if not master.startswith("spark://"):
        return []
    found = [re.fullmatch(r"\[?(.+?)\]?:(\d+)", part) for part in master.removeprefix("spark://").split(",")]
    if not all(found):
        raise EngineError(f"spark.master: {master} is not spark://host:port.", "The default port is 7077.")
    return [(match[1], int(match[2])) for match in found if match][:1]


def defaults(master: str, version: str) -> dict[str, str]:
    """Return the settings that fruitscale adds unless they are set."""
    settings = {"spark.ui.showConsoleProgress": "false", "spark.executorEnv.PYTHONSAFEPATH": "1"}
    if master.startswith("local"):
        settings |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.pyspark.python": sys.executable,
            "spark.task.maxDirectResultSize": "64m",  # larger results, such as moments, take a detour of 20 ms each
        }
        if tuple(int(part) for part in version.split(".")[:2]) >= (4, 1):
            settings["spark.python.unix.domain.socket.enabled"] = "true"
    return settings


def expected_cores(setting: Callable[[str, str], str | None]) -> int:
    """Return how many tasks a cluster runs at once when all the executors it may have are running.

    `setting` returns a Spark setting or the given default.
    """
    is_dynamic = setting("spark.dynamicAllocation.enabled", "false") == "true"
    executors = setting("spark.dynamicAllocation.maxExecutors" if is_dynamic else "spark.executor.instances", "")
    if not executors or int(executors) == UNLIMITED:
        return GROWING_CORES
    cores = int(setting("spark.executor.cores", "1") or 1) // int(setting("spark.task.cpus", "1") or 1)
    return int(executors) * cores


def java_variables(home: Path, master: str | None, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of the driver's Java."""
    ours = {"JAVA_HOME": str(home)}
    if (master or "local").startswith("local"):
        ours["SPARK_LOCAL_IP"] = variables.get("SPARK_LOCAL_IP", "127.0.0.1")
        # It only schedules: the default compiler and collector would keep a core busy for 10 s.
        ours["JDK_JAVA_OPTIONS"] = f"{LIGHT_JAVA} {variables.get('JDK_JAVA_OPTIONS', '')}".strip()
    return ours


def python_failure(text: str) -> str | None:
    """Return the last line of the Python traceback inside a Java one."""
    _, found, traceback = text.rpartition("Traceback (most recent call last):")
    lines = re.split(r"\n\s*(?:at |SQLSTATE: |Driver stacktrace)", traceback)[0].strip().splitlines()
    return lines[-1].strip() if found and lines else None


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables within the block: launching Java reads them from there only."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _defaults_file_names_master(variables: Mapping[str, str], home: str) -> bool:
    folder = variables.get("SPARK_CONF_DIR") or str(Path(home) / "conf")
    try:
        text = (Path(folder) / "spark-defaults.conf").read_text()
    except OSError:
        return False
    return re.search(r"^\s*spark\.master[\s=:]", text, re.MULTILINE) is not None
