"""EMR's step on the test's YARN: a primary machine with EMR's Spark settings, and the step as the launcher sent it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark

from fruitscale.bench.local_clusters import LIGHT_JAVA
from fruitscale.clusters.emr_requests import HOME
from fruitscale.clusters.machines import main
from tests.cloud.cloud import Asked
from tests.conftest import ROOT
from tests.yarn.yarn_cluster import Yarn, as_other_user

FOREIGN = ("AWS_", "SPARK_", "PYSPARK_", "HADOOP_", "YARN_", "FRUITSCALE_", "JAVA_", "JDK_", "PIP_", "PYTHON", "XDG_")
"""Variables of the tests' own that no machine of EMR has."""


@dataclass(frozen=True)
class StepEnd:
    """How a step ended: its exit code and its log."""

    code: int
    log: str


@dataclass(frozen=True)
class TaskSpan:
    """A Spark task: its number of our tasks is not known to Spark; its times are."""

    stage: int
    began: float
    ended: float


class PrimaryMachine:
    """EMR's primary machine: Spark's settings there, what the boot script installs, and the step's process."""

    def __init__(self, folder: Path, yarn: Yarn, java_home: Path, variables: Mapping[str, str]) -> None:
        self._folder, self._yarn = folder, yarn
        self._variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
            "JAVA_HOME": str(java_home),
            "HADOOP_CONF_DIR": str(yarn.settings),
            "SPARK_CONF_DIR": str(folder / "spark"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": "/usr/bin/python3",  # as spark-env.sh of EMR exports it
            **variables,
        }
        for name in ("bin", "spark", "events", "work", "staging"):
            (folder / name).mkdir(parents=True)
            (folder / name).chmod(0o777)
        python = folder / "bin" / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        shutil.copy(str(main.__file__), folder / "main.py")
        self.set_spark()

    def set_spark(self, **more: object) -> None:
        """Write spark-defaults.conf: what EMR's has, and what this machine needs."""
        variables = {n: v for n, v in self._variables.items() if n.startswith("AWS_")}
        settings = {
            "spark.master": "yarn",
            "spark.submit.deployMode": "client",
            "spark.dynamicAllocation.enabled": "true",
            "spark.shuffle.service.enabled": "false",  # EMR's nodes have it; here Spark tracks shuffles itself
            "spark.hadoop.yarn.timeline-service.enabled": "false",
            "spark.yarn.jars": f"local:{Path(pyspark.__file__).parent / 'jars'}/*",
            "spark.yarn.stagingDir": f"file://{self._folder / 'staging'}",
            "spark.yarn.am.memory": "256m",
            **{f"spark.{who}.extraJavaOptions": LIGHT_JAVA for who in ("driver", "executor", "yarn.am")},
            "spark.ui.enabled": "false",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"file://{self._folder / 'events'}",
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
            **{f"spark.executorEnv.{name}": value for name, value in variables.items()},
            **{name.replace("__", "."): value for name, value in more.items()},
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        (self._folder / "spark" / "spark-defaults.conf").write_text(text)

    def start(self, asked: Asked) -> subprocess.Popen[str]:
        """Start the step of a recorded RunJobFlow, with this machine's folder for the launcher's."""
        submit, *words = asked.said["Steps"][0]["HadoopJarStep"]["Args"]
        path = Path(pyspark.__file__).parent / "bin" / submit
        command = [*as_other_user(), str(path), *(word.replace(HOME, str(self._folder)) for word in words)]
        with self._log_path.open("w") as log:
            return subprocess.Popen(
                command, env=self._variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL, text=True,
                cwd=self._folder / "work", process_group=0,
            )  # fmt: skip

    def finish(self, process: subprocess.Popen[str], seconds: float = 500) -> StepEnd:
        """Wait for a step's end."""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            raise AssertionError(f"the step did not end:\n{self.log()[-6000:]}\n{self._yarn.log()}") from None
        return StepEnd(process.returncode, self.log())

    def log(self) -> str:
        """Return what the step has printed so far."""
        return self._log_path.read_text(errors="replace")

    def tasks(self) -> list[TaskSpan]:
        """Return the Spark tasks of the newest application, from its event log."""
        newest = max((self._folder / "events").iterdir(), key=lambda path: path.stat().st_mtime)
        events: list[dict[str, Any]] = [json.loads(line) for line in newest.read_text().splitlines() if line]
        ended = [event for event in events if event["Event"] == "SparkListenerTaskEnd"]
        return [
            TaskSpan(e["Stage ID"], e["Task Info"]["Launch Time"] / 1000, e["Task Info"]["Finish Time"] / 1000)
            for e in ended
        ]

    @property
    def _log_path(self) -> Path:
        return self._folder / "step.log"
