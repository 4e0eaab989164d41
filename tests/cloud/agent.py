"""Plays the machines that moto doesn't make: does what the recorded requests told them, and lets moto know."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import fruitscale
from fruitscale.clusters import emr_requests
from fruitscale.clusters.driver import drive, open_folder
from fruitscale.clusters.launch import LOG, STATUS
from tests.cloud.cloud import ACCOUNT, REGION, Asked, user_data
from tests.cloud.conftest import Account

ROOT = Path(fruitscale.__file__).parents[1]


class Agent:
    """Waits for the request that starts a driver, and plays it: for real, or with the end that it is given."""

    def __init__(self, account: Account, *, runs_it: bool = False, code: int = 0, log: str = "") -> None:
        self.account, self.runs_it, self.code, self.log = account, runs_it, code, log
        self.failure: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self) -> Agent:
        if not self.runs_it:
            self._serverless_state("RUNNING")
        self._serverless_state("RUNNING")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        self._serverless_state("SUCCESS")
        if self.failure is not None and kind is None:
            raise self.failure

    def _play(self) -> None:
        try:
            while not self._over.wait(0.05):
                for asked in list(self.account.proxy.asked):
                    if asked.operation == "RunJobFlow":
                        return self._emr(asked)
                    if asked.operation == "StartJobRun":
                        return self._serverless(asked)
                    if asked.operation == "RunInstances" and "machine worker" in user_data(asked):
                        return self._ec2()
        except BaseException as error:
            self.failure = error
            raise
        return None

    def _emr(self, asked: Asked) -> None:
        arguments = asked.said["Steps"][0]["HadoopJarStep"]["Args"]
        here = [_here(word) for word in arguments]
        code = self._drive(_after(arguments, "--run"), ["--master", "local[1]"], here)
        cluster = self._until(
            lambda: next((c for c in self._emr_backend().values() if c.name == asked.said["Name"]), None)
        )
        cluster.steps[0].state = "FAILED" if code else "COMPLETED"
        cluster.terminate()  # it keeps nothing alive without steps

    def _serverless(self, asked: Asked) -> None:
        submit = asked.said["jobDriver"]["sparkSubmit"]
        arguments = submit["entryPointArguments"]
        program = str(ROOT / "fruitscale" / "clusters" / "main.py")
        words = ["spark-submit", *shlex.split(submit["sparkSubmitParameters"]), program, *arguments]
        words = [
            word
            for word in words
            if not word.startswith(("spark.archives", "spark.emr-serverless", "spark.executorEnv"))
        ]
        words = [
            w for i, w in enumerate(words) if w != "--conf" or ("=" in words[i + 1] and not words[i + 1].startswith("-"))
        ]
        code = self._drive(_after(arguments, "--run"), ["--master", "local[1]"], words)
        self._serverless_state("FAILED" if code else "SUCCESS")

    def _ec2(self) -> None:
        leader = next(a for a in self.account.proxy.of("RunInstances") if "machine scheduler" in user_data(a))
        line = next(line for line in user_data(leader).splitlines() if "machine scheduler" in line)
        self._drive(_after(shlex.split(line), "--run"), None, [])

    def _drive(self, uri: str, more: list[str] | None, command: list[str]) -> int:
        store = open_folder(uri, REGION)
        if not self.runs_it:
            store.write(LOG, self.log.encode())
            error = self.log.strip().splitlines()[-1].removeprefix("Error: ") if self.code else None
            store.write(STATUS, json.dumps({"code": self.code, "error": error, "time": time.time()}).encode())
            return self.code
        if more is None:
            return drive(store)
        import pyspark

        spark_submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1", **_java()}
        return subprocess.run([str(spark_submit), *more, *command[1:]], env=variables, check=False).returncode

    def _until(self, look: Any) -> Any:
        while (found := look()) is None and not self._over.wait(0.05):
            pass
        return found

    @staticmethod
    def _emr_backend() -> Any:
        from moto.backends import get_backend

        return get_backend("emr")[ACCOUNT][REGION].clusters

    @staticmethod
    def _serverless_state(state: str) -> None:
        """Set the state of every job, and of those that come."""
        from moto.backends import get_backend
        from moto.emrserverless import models

        models.JOB_STATUS = state
        for jobs in get_backend("emr-serverless")[ACCOUNT][REGION].job_runs.values():
            for job in jobs:
                job.state = state if job.state == "RUNNING" else job.state


def _here(word: str) -> str:
    """Put what the boot script makes on a machine in its place here."""
    word = word.replace(emr_requests.PYTHON, sys.executable)
    return word.replace(f"{emr_requests.HOME}/main.py", str(ROOT / "fruitscale" / "clusters" / "main.py"))


def _java() -> dict[str, str]:
    import pyspark

    from fruitscale.engines.java import find_java

    return {"JAVA_HOME": str(find_java(pyspark.__version__).home)}


def _after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]
