"""Plays the machines that moto does not create: runs what the recorded requests specify, and updates moto's state."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyspark

import fruitscale
from fruitscale.clusters import emr_requests
from fruitscale.clusters.launch import JOB, LOG, STATUS
from fruitscale.clusters.machines.driver import drive, open_folder
from fruitscale.engines.java import find_java
from fruitscale.storage.s3 import S3Store
from tests.cloud.cloud import ACCOUNT, REGION, Asked, emr_backends, user_data
from tests.cloud.simulated_account import Account

ROOT = Path(fruitscale.__file__).parents[1]
PROGRAM = str(ROOT / "fruitscale" / "clusters" / "machines" / "main.py")
OF_SERVERLESS = ("spark.archives", "spark.emr-serverless", "spark.executorEnv")


class Agent:
    """Waits for the request that starts a driver, and plays that driver.

    runs_it: run the requested command for real; otherwise end with `code` after writing `log` and, if given, `record` as
    run.json. cluster_ends: EMR ends the cluster for this reason before its step starts. never_ends: do nothing.
    """

    def __init__(
        self,
        account: Account,
        *,
        runs_it: bool = False,
        code: int = 0,
        log: str = "",
        record: bytes | None = None,
        cluster_ends: str | None = None,
        never_ends: bool = False,
    ) -> None:
        self.account, self.runs_it, self.code, self.log = account, runs_it, code, log
        self.record = record
        self.cluster_ends, self.never_ends = cluster_ends, never_ends
        self.failure: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self) -> Agent:
        set_job_state("RUNNING")
        if not self.never_ends:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(60)
        set_job_state("SUCCESS")
        if self.failure is not None and kind is None:
            raise self.failure

    def _play(self) -> None:
        starts = {"RunJobFlow": self._emr, "StartJobRun": self._serverless, "RunInstances": self._ec2}
        try:
            while not self._over.wait(0.05):
                for asked in list(self.account.proxy.asked):
                    if (
                        asked.operation in starts
                        and not asked_of_leader(asked)
                        and asked not in self.account.proxy.refused
                    ):
                        starts[asked.operation](asked)
                        return
        except BaseException as error:
            self.failure = error
            traceback.print_exception(error)

    def _emr(self, asked: Asked) -> None:
        cluster = self._until(lambda: find_cluster(asked.said["Name"]))
        if self.cluster_ends is not None:
            cluster.last_state_change_reason, cluster.state = self.cluster_ends, "TERMINATED_WITH_ERRORS"
            return
        arguments = asked.said["Steps"][0]["HadoopJarStep"]["Args"]
        code = self._drive(after(arguments, "--run"), [here(word) for word in arguments])
        cluster.steps[0].state = "FAILED" if code else "COMPLETED"
        cluster.terminate()  # a cluster without steps ends

    def _serverless(self, asked: Asked) -> None:
        submit = asked.said["jobDriver"]["sparkSubmit"]
        conf = [word for word in shlex.split(submit["sparkSubmitParameters"]) if word != "--conf"]
        kept = [word for each in conf if not each.startswith(OF_SERVERLESS) for word in ("--conf", each)]
        arguments = submit["entryPointArguments"]
        code = self._drive(after(arguments, "--run"), ["spark-submit", *kept, PROGRAM, *arguments])
        set_job_state("FAILED" if code else "SUCCESS")

    def _ec2(self, _: Asked) -> None:
        leader = next(each for each in self.account.proxy.of("RunInstances") if asked_of_leader(each))
        line = next(line for line in user_data(leader).splitlines() if "clusters.machines.dask_machine" in line)
        self._drive(after(shlex.split(line), "--run"), None)

    def _drive(self, uri: str, command: list[str] | None) -> int:
        store = open_folder(uri, REGION)
        if not self.runs_it:
            store.write(LOG, self.log.encode())
            if self.record is not None:
                output = json.loads(store.read(JOB))["config"]["output"]["uri"]
                S3Store(output, store.storage).write("run.json", self.record)
            error = self.log.strip().splitlines()[-1].removeprefix("Error: ") if self.code else None
            store.write(STATUS, json.dumps({"code": self.code, "error": error, "time": time.time()}).encode())
            return self.code
        if command is None:
            return drive(store)
        home = Path(pyspark.__file__).parent
        java = {"JAVA_HOME": str(find_java(pyspark.__version__).home), "SPARK_LOCAL_IP": "127.0.0.1"}
        variables = {**os.environ, **java, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
        submit = [str(home / "bin" / "spark-submit"), "--master", "local[1]", *command[1:]]
        return subprocess.run(submit, env=variables, check=False, stdin=subprocess.DEVNULL).returncode

    def _until(self, find: Callable[[], Any]) -> Any:
        while (found := find()) is None and not self._over.wait(0.05):
            pass
        return found


def asked_of_leader(asked: Asked) -> bool:
    """Return whether a request is for the scheduler's machine; the driver starts after the one for the workers."""
    return asked.operation == "RunInstances" and "clusters.machines.dask_machine scheduler" in user_data(asked)


def find_cluster(name: str) -> Any:
    """Return moto's cluster of this name, or None."""
    clusters = (cluster for backend in emr_backends() for cluster in backend.clusters.values())
    return next((cluster for cluster in clusters if cluster.name == name), None)


def set_job_state(state: str) -> None:
    """Set the state of running EMR Serverless jobs and of future ones."""
    from moto.backends import get_backend
    from moto.emrserverless import models

    models.JOB_STATUS = state
    for jobs in get_backend("emr-serverless")[ACCOUNT][REGION].job_runs.values():
        for job in jobs:
            job.state = state if job.state == "RUNNING" else job.state


def here(word: str) -> str:
    """Replace a path on a machine by its counterpart here."""
    return word.replace(emr_requests.PYTHON, sys.executable).replace(f"{emr_requests.HOME}/main.py", PROGRAM)


def after(words: list[str], flag: str) -> str:
    """Return the value of a flag."""
    return words[words.index(flag) + 1]
