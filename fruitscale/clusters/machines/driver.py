"""Drives a run on the cluster's main machine: runs the CLI as a child, copies its log to S3, ends it at its deadline.

A hung run is not idle, so the service would keep its machines: this process enforces max_hours and max_cost.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fruitscale.clusters.launch import JOB, LOG, STATUS
from fruitscale.config.schema import Storage
from fruitscale.errors import FruitscaleError
from fruitscale.pipeline.accounting import MACHINES
from fruitscale.processes import child_environment
from fruitscale.runs.run_folder import REPORT
from fruitscale.storage import residency
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.scratch import ScratchFolder

LOG_SECONDS = 10.0
GRACE_SECONDS = 60.0
TOO_LONG = 124
"""Exit code of a run ended at its deadline, like timeout(1)."""
ENDED = "Ended by {}."
MOST_LOG = 4_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the job of a launch, and exit with its code."""
    parser = argparse.ArgumentParser(prog="main.py", description="The driver of a launch.")
    parser.add_argument("--run", required=True, metavar="URI", help="the folder of the launch")
    parser.add_argument("--region", required=True)
    parser.add_argument("--job", metavar="URI", help="the folder of a schedule's job, which its launches share")
    given = parser.parse_args(arguments)
    sys.exit(drive(open_folder(given.run, given.region, given.job), job_uri=given.job))


def open_folder(uri: str, region: str, job_uri: str | None = None) -> S3Store:
    """Open the folder of a launch with the storage settings of its job."""
    store = S3Store(job_uri or uri, residency.settle(Storage(region=region)))
    return S3Store(uri, Storage.model_validate(json.loads(store.read(JOB))["config"]["storage"]))


def drive(
    store: S3Store,
    settings: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    job_uri: str | None = None,
) -> int:
    """Run the CLI with the job's config and extra `--set` settings; write its exit status to S3 and return its code."""
    job = read_job(store if job_uri is None else S3Store(job_uri, store.storage))
    code = 1
    error: str | None = "the driver could not start"
    with ScratchFolder("driver") as folder:
        try:
            command = _prepare(store, job, folder, settings or {})
            machines = {MACHINES: json.dumps(job["machines"]), **(variables or {})}
            ended = ENDED.format(job.get("limit", "cluster.max_hours"))
            code = _run(store, command, folder, machines, job["until"], ended)
            error = ended if code == TOO_LONG else _last_error(folder / "err") if code else None
        except FruitscaleError as problem:
            error = problem.message
        finally:
            page = code == 0 and _has_page(job["config"]["output"]["uri"], store.storage)
            status = {"code": code, "error": error, "time": time.time(), "page": page}
            store.write(STATUS, (json.dumps(status) + "\n").encode())
    return code


def read_job(store: S3Store) -> dict[str, Any]:
    """Return a job; the deadline and the costs of a schedule's count from now."""
    job: dict[str, Any] = json.loads(store.read(JOB))
    now = time.time()
    machines = job["machines"]
    return {
        **job,
        "until": job["until"] or now + job["seconds"],
        "machines": {**machines, "began": machines["began"] or now},
    }


def _has_page(uri: str, storage: Storage) -> bool:
    """Return whether a run folder has a page; the launching machine may not be allowed to look."""
    with suppress(FruitscaleError):
        return S3Store(uri, storage).exists(REPORT)
    return False


def _prepare(store: S3Store, job: Mapping[str, Any], folder: Path, settings: Mapping[str, str]) -> list[str]:
    """Write the config and the model into `folder`; return the command that runs them."""
    config: dict[str, Any] = job["config"]
    config["model"]["exported"] = str(folder / "model")
    base, _, file = job["model_uri"].rpartition("/")
    (folder / "model").write_bytes(S3Store(base, store.storage).read(file))
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "fruitscale", "run", "--config", str(folder / "config.yaml"), *sets, "--json"]


def _run(
    store: S3Store, command: list[str], folder: Path, variables: Mapping[str, str], until: float, too_long: str
) -> int:
    """Run a command until it ends or its deadline passes, copying its stderr to S3; return its exit code.

    `too_long` is the message logged at the deadline.
    """
    ended = threading.Event()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        environment = child_environment(variables)
        process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment)
        keeping = threading.Thread(target=_copy_log, args=(store, folder / "err", ended), daemon=True)
        keeping.start()
        try:
            return process.wait(timeout=max(1.0, until - time.time()))
        except subprocess.TimeoutExpired:
            _end(process)
            if process.returncode == 0:  # it completed meanwhile
                return 0
            err.write(f"{too_long}\n".encode())
            return TOO_LONG
        finally:
            if process.poll() is None:
                _end(process)
            err.flush()
            ended.set()
            keeping.join()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a run, so that it records its state; kill it if it does not end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _copy_log(store: S3Store, path: Path, ended: threading.Event) -> None:
    """Write the log to S3 every LOG_SECONDS, and once at the end."""
    brief, size = store.brief(), -1
    while True:
        last = ended.wait(LOG_SECONDS)
        content = path.read_bytes()[-MOST_LOG:]
        if len(content) != size:
            with suppress(FruitscaleError):  # the run goes on; the next write follows soon
                (store if last else brief).write(LOG, content)
                size = len(content)
        if last:
            sys.stderr.buffer.write(content)
            sys.stderr.flush()
            return


def _last_error(path: Path) -> str:
    """Return the last error in a log, or its last line."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return (errors or lines or ["the run ended without output"])[-1]
