"""The machines' side, for real: what the recorded requests told them is done here, by real processes, with real S3.

moto stands in for EC2 alone; S3 is SeaweedFS. `shutdown` and `dnf` are stand-ins that write down how they were called.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from fruitscale.clusters import cluster_run
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.clusters.machines import dask_machine
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from tests.cloud.cloud import user_data
from tests.cloud.simulated_account import Account
from tests.conftest import ROOT, part_bytes
from tests.s3.bucket import PLACE, Bucket
from tests.s3.conftest import VARIABLES, forget

WORKERS = 2


@pytest.fixture
def real(account: Account, cloud_bucket: Bucket) -> Config:
    """A config of two workers, whose S3 is SeaweedFS."""
    forget()
    values = account.config("ec2-dask", workers=WORKERS, boot_minutes=2).model_dump(mode="json")
    values["input"]["uri"], values["output"]["uri"] = "s3://fruits/cloud/in", f"s3://fruits/cloud/out-{account.number}"
    values["storage"] |= {
        "endpoint": cloud_bucket.endpoint, "residency": "declared", "place": PLACE, "encryption": None, "kms_key": None,
        "staging_uri": "s3://fruits/cloud/staging",
    }  # fmt: skip
    return from_mapping(values)


def scripts(account: Account) -> dict[str, str]:
    """Return the user-data of the recorded requests by role, with this machine's address for the scheduler's."""
    found = {}
    for asked in account.proxy.of("RunInstances"):
        text = user_data(asked)
        role = "scheduler" if "clusters.machines.dask_machine scheduler" in text else "worker"
        found[role] = re.sub(r"tls://[\d.]+:", f"tls://{dask_machine.own_address()}:", text)
    return found


@contextmanager
def processes(
    commands: Mapping[str, list[str]], variables: Mapping[str, str], folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run commands, each in a process group of its own that ends with the block."""
    started = []
    try:
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        command, env=dict(variables), stdout=log, stderr=log, stdin=subprocess.DEVNULL, process_group=0
                    )
                )
        yield started
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.wait()


def attend(launch: Launch) -> cluster_run.LaunchResult:
    return cluster_run.watch_until_end(launch, launcher_of(launch), every_seconds=0.5)


@pytest.mark.slow
def test_three_processes_that_talk_tls_complete_the_run(
    account: Account, real: Config, cloud_bucket: Bucket, local_run: Path, tmp_path: Path
) -> None:
    launch = cluster_run.run(real, detach=True).launch
    lines = {role: shlex.split(text.splitlines()[-1]) for role, text in scripts(account).items()}
    names = ["scheduler", *(f"worker-{number}" for number in range(WORKERS))]
    commands = {name: [sys.executable, *lines[name.partition("-")[0]][1:]] for name in names}
    variables = {**os.environ, **VARIABLES, "AWS_ENDPOINT_URL_S3": cloud_bucket.endpoint, "PYTHONPATH": str(ROOT)}
    with processes(commands, variables, tmp_path) as started:
        ended = attend(launch)
        assert [process.wait(60) for process in started[1:]] == [0] * WORKERS  # they end when the scheduler does
    assert ended.record is not None
    assert (ended.record.engine.master or "").startswith("tls://")
    assert (ended.record.images.featurized, ended.record.engine.machines) == (24, 1)
    assert cloud_bucket.at(f"out-{account.number}").parts() == part_bytes(local_run)
    assert not [name for name in cloud_bucket.at("staging").names() if "/tls/" in name]
