"""Runs one EC2 machine of a Dask cluster: either the scheduler and the driver, or workers.

`python -m fruitscale.clusters.machines.dask_machine scheduler|worker --run URI --region REGION …`
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from fruitscale import processes
from fruitscale.clusters.launch import KEYS
from fruitscale.clusters.machines.driver import drive, open_folder
from fruitscale.storage.s3 import S3Store
from fruitscale.storage.scratch import ScratchFolder

PORT = 8786
PROBE_ADDRESS = "169.254.169.254"
"""An address to find the outgoing interface with; nothing is sent to it."""
DEATH_SECONDS = 900


def main(arguments: Sequence[str] | None = None) -> None:
    """Run this machine's role, and exit with its code."""
    parser = argparse.ArgumentParser(
        prog="fruitscale.clusters.machines.dask_machine", description="Run a machine of a Dask cluster."
    )
    parser.add_argument("role", choices=["scheduler", "worker"])
    parser.add_argument("--run", required=True, metavar="URI")
    parser.add_argument("--region", required=True)
    parser.add_argument("--workers", type=int, default=1, help="scheduler: machines to wait for")
    parser.add_argument("--wait-seconds", type=float, default=900, help="scheduler: for how long")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="worker: tls://host:port")
    given = parser.parse_args(arguments)
    store = open_folder(given.run, given.region)
    with ScratchFolder("machine") as folder:
        keys = fetch_keys(store, folder)
        if given.role == "scheduler":
            sys.exit(_lead(store, folder, keys, given.workers, given.wait_seconds))
        sys.exit(_work(folder, keys, given.scheduler))


def fetch_keys(store: S3Store, folder: Path) -> dict[str, Path]:
    """Download the run's TLS keys, readable by this user only; return their paths by name."""
    found = {}
    for name in ("ca.pem", "cert.pem", "key.pem"):
        path = folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(store.read(f"{KEYS}/{name}"))
        found[name] = path
    return found


def variables(keys: Mapping[str, Path]) -> dict[str, str]:
    """Return the environment variables that make every Dask process require TLS."""
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    made = {f"{tls}CA_FILE": str(keys["ca.pem"]), "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        made |= {f"{tls}{role}__CERT": str(keys["cert.pem"]), f"{tls}{role}__KEY": str(keys["key.pem"])}
    # On Python 3.11 its profiler can stop a worker for good; see engines/dask_cluster.py
    return made | {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}


def own_address(towards: str = PROBE_ADDRESS) -> str:
    """Return this machine's address on the network that leads to `towards`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((towards, 9))  # sends nothing
        return str(probe.getsockname()[0])


def _lead(store: S3Store, folder: Path, keys: Mapping[str, Path], workers: int, seconds: float) -> int:
    address = own_address()
    log_path = folder / "scheduler.log"
    with log_path.open("ab") as log:
        options = ["--protocol", "tls", "--host", address, "--port", str(PORT), "--no-dashboard", "--no-show"]
        scheduler = _dask("distributed.cli.dask_scheduler", options, log, variables(keys))
        try:
            _wait_for(workers, f"tls://{address}:{PORT}", keys, seconds, scheduler)
            return drive(store, {"dask.scheduler": f"tls://{address}:{PORT}"}, variables(keys))
        finally:
            processes.stop(scheduler)
            sys.stderr.write(log_path.read_text(errors="replace")[-100_000:])


def _work(folder: Path, keys: Mapping[str, Path], scheduler: str) -> int:
    host = own_address(urlsplit(scheduler).hostname or PROBE_ADDRESS)
    cores = len(os.sched_getaffinity(0))
    name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    options = [
        scheduler, "--host", host, "--name", name, "--nworkers", str(cores), "--nthreads", "1", "--no-dashboard",
        "--death-timeout", str(DEATH_SECONDS), "--local-directory", str(folder),
    ]  # fmt: skip
    # the worker ends with the scheduler, and the machine with the worker
    return _dask("distributed.cli.dask_worker", options, sys.stderr.buffer, variables(keys)).wait()


def _dask(module: str, options: Sequence[str], log: BinaryIO, more: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return processes.start(module, options, output=log.fileno(), environment=more)


def _wait_for(
    workers: int, address: str, keys: Mapping[str, Path], seconds: float, scheduler: subprocess.Popen[bytes]
) -> None:
    """Wait until `workers` machines have joined or `seconds` have passed; late machines still join the run."""
    from distributed import Client, Security

    security = Security(
        require_encryption=True,
        tls_ca_file=str(keys["ca.pem"]),
        tls_client_cert=str(keys["cert.pem"]),
        tls_client_key=str(keys["key.pem"]),
    )
    deadline = time.monotonic() + seconds
    with Client(address, security=security, timeout=seconds, set_as_default=False) as client:
        while machines(client) < workers and time.monotonic() < deadline and scheduler.poll() is None:
            time.sleep(1.0)


def machines(client: Any) -> int:  # noqa: ANN401  distributed is untyped here
    """Return the number of machines that have workers; workers are named MACHINE or MACHINE-NUMBER."""
    found = client.scheduler_info(n_workers=-1)["workers"].values()
    return len({re.sub(r"-\d+$", "", str(worker["name"])) for worker in found})


if __name__ == "__main__":
    main()
