"""A machine from its very start: the boot script, the start scripts of EC2 machines, and EMR's step, all as recorded.

In a mount namespace whose /opt is empty, and in an empty root (Debian's, by debootstrap), with no package index, S3
being SeaweedFS, through the AWS CLI. `dnf` and `shutdown` are stand-ins that write down how they were called.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fruitscale.clusters import bundle, emr_requests
from fruitscale.clusters import launch as launches
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.job_files import put_job
from fruitscale.config.cluster_section import Emr
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from tests.cloud.cloud import REGION
from tests.cloud.namespace import Debian, Namespace, can_be_made
from tests.cloud.simulated_account import Account
from tests.cloud.test_machines import attend, processes, scripts
from tests.conftest import ROOT, part_bytes
from tests.s3.bucket import Bucket
from tests.s3.conftest import forget

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_be_made(), reason="needs a mount namespace of its own, and the AWS CLI"),
]
MOST_MB = 800
MACHINES = ("booted", "empty")
PYTHONS = [sys.executable, *filter(None, os.environ.get("FRUITSCALE_SPARK_PYTHONS", "").split(":"))]
"""Pythons whose PySpark is the cluster's Spark: this one, and others that have another version."""


@pytest.fixture(scope="module")
def vendored(shared: Account, cloud_bucket: Bucket) -> Iterator[tuple[dict[str, Any], UploadedBundle]]:
    """A config, and its bundle with all wheels: locked and fetched by pip from the package index, as users do."""
    forget()
    values = shared.config("ec2-dask", workers=2, vendor_wheels=True, requirements=None).model_dump(mode="json")
    values["input"]["uri"] = "s3://fruits/cloud/in"
    values["storage"] |= {
        "endpoint": cloud_bucket.endpoint, "residency": "declared", "place": "here", "encryption": None, "kms_key": None,
        "staging_uri": "s3://fruits/cloud/vendored", "timeout_seconds": 120.0,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PIP_NO_INDEX")
        patch.delenv("PIP_FIND_LINKS")
        yield values, bundle.upload(from_mapping(values), lambda _: None)


@pytest.fixture(scope="module")
def booted(
    vendored: tuple[dict[str, Any], UploadedBundle], cloud_bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Namespace:
    """A machine on which the boot script has run: this one's files, but for /opt."""
    return booted_in(Namespace(tmp_path_factory.mktemp("machine") / "root", cloud_bucket.endpoint), vendored[1])


@pytest.fixture(scope="module")
def empty(
    vendored: tuple[dict[str, Any], UploadedBundle], cloud_bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Namespace:
    """A machine on which the boot script has run, that has nothing of this one."""
    if shutil.which("debootstrap") is None:
        pytest.skip("there is no debootstrap: apt-get install debootstrap")
    return booted_in(Debian(tmp_path_factory.mktemp("machine") / "root", cloud_bucket.endpoint), vendored[1])


def booted_in(place: Namespace, placed: UploadedBundle) -> Namespace:
    began = time.monotonic()
    done = boot(place, placed)
    assert done.returncode == 0, done.stderr
    sys.stderr.write(
        f"booted in {time.monotonic() - began:.1f} s, {megabytes(place.opt / 'fruitscale'):.0f} MB installed\n"
    )
    return place


def boot(place: Namespace, placed: UploadedBundle) -> subprocess.CompletedProcess[str]:
    script = shutil.copy(ROOT / "fruitscale" / "clusters" / "boot.sh", place.root)
    command = place.command("bash", str(script), REGION, placed.uri, str(placed.wheels_uri))
    return subprocess.run(
        command, env=place.variables(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_installed_is_small_and_has_no_tensorflow(machine: str, request: pytest.FixtureRequest) -> None:
    booted: Namespace = request.getfixturevalue(machine)
    home = booted.opt / "fruitscale"
    assert megabytes(home) <= MOST_MB
    packages = {path.name for path in (home / "lib" / "python3.11" / "site-packages").iterdir()}
    assert {"fruitscale", "openvino", "pyarrow", "distributed"} <= packages
    assert not {"tensorflow", "pyspark", "keras"} & packages
    assert booted.calls == []  # Python 3.11 was there


def test_booted_again_nothing_is_done(booted: Namespace, vendored: tuple[dict[str, Any], UploadedBundle]) -> None:
    mark = booted.opt / "fruitscale" / "bundle"
    before = mark.stat().st_mtime_ns
    assert boot(booted, vendored[1]).returncode == 0
    assert mark.stat().st_mtime_ns == before


def test_a_bundle_that_was_tampered_with_is_refused(
    vendored: tuple[dict[str, Any], UploadedBundle], cloud_bucket: Bucket, tmp_path: Path
) -> None:
    _, placed = vendored
    source, target = (uri.removeprefix("s3://fruits/cloud/") for uri in (placed.uri, f"{placed.uri}-other"))
    for name in cloud_bucket.at(source).names():
        cloud_bucket.put(f"{target}/{name}", cloud_bucket.get(f"{source}/{name}"))
    cloud_bucket.put(f"{target}/main.py", b"import os")
    place = Namespace(tmp_path / "root", cloud_bucket.endpoint)
    done = boot(place, UploadedBundle(f"{placed.uri}-other", "", placed.wheels_uri, None, placed.model_uri))
    assert done.returncode != 0
    assert "main.py: FAILED" in done.stdout
    assert not (place.opt / "fruitscale" / "bundle").exists()


def config_of(values: dict[str, Any], output: str, **more: Any) -> Config:
    return from_mapping({**values, "output": {"uri": f"s3://fruits/cloud/{output}"}, **more})


@pytest.mark.parametrize("machine", MACHINES)
def test_the_start_scripts_of_three_machines_complete_the_run(
    machine: str,
    account: Account, vendored: tuple[dict[str, Any], UploadedBundle], cloud_bucket: Bucket, local_run: Path,
    tmp_path: Path, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    from fruitscale.clusters import cluster_run

    booted: Namespace = request.getfixturevalue(machine)
    launch = cluster_run.run(config_of(vendored[0], f"out-{machine}"), detach=True).launch
    found = scripts(account)
    commands = {}
    for name in ("scheduler", "worker-0", "worker-1"):
        path = tmp_path / f"{name}.sh"
        path.write_text(found[name.partition("-")[0]].replace("HOME=/root", f"HOME={tmp_path}"))
        commands[name] = booted.command("bash", str(path))
    with processes(commands, booted.variables(), tmp_path) as started:
        ended = attend(launch)
        assert [process.wait(60) for process in started] == [0, 0, 0]
    assert ended.record is not None
    assert cloud_bucket.at(f"out-{machine}").parts() == part_bytes(local_run)
    assert sorted(booted.calls) == sorted(["shutdown -h +720", "shutdown -h now"] * 3)
    logs = [
        name
        for name in cloud_bucket.at(f"vendored/runs/{launch.id}/logs").names()
        if name.startswith(("scheduler", "worker"))
    ]
    assert len(logs) >= 2  # one host name


@pytest.mark.parametrize("python", PYTHONS)
def test_the_step_runs_on_a_spark_cluster_of_two_workers(
    python: str,
    account: Account, booted: Namespace, vendored: tuple[dict[str, Any], UploadedBundle], cloud_bucket: Bucket, local_run: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Only the master is added; executors are made as small as the workers of the test's cluster."""
    values, placed = vendored
    cluster = {"kind": "emr", "subnets": ["s"], "disk_key": "k", "executor_cores": 1, "executor_memory_mb": 512}
    launch = launches.new(config_of(values, f"out-step-{PYTHONS.index(python)}", engine="spark", cluster=cluster))
    assert isinstance(launch.cluster, Emr)
    put_job(launch, placed)
    words = emr_requests.step(launch, launch.cluster)["HadoopJarStep"]["Args"]
    command = booted.command(python, "-m", "tests.cloud.standalone", str(tmp_path), shlex.join(words))
    variables = booted.variables(PYTHONPATH=str(ROOT))
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-4000:]
    output = cloud_bucket.at(f"out-step-{PYTHONS.index(python)}")
    engine = json.loads(output.get("run.json"))["engine"]
    version = subprocess.check_output([python, "-c", "import pyspark; print(pyspark.__version__)"], text=True).strip()
    assert (engine["version"], engine["workers"]) == (version, 2)
    assert output.parts() == part_bytes(local_run)


def test_the_archive_of_serverless_runs_python(
    shared: Account, vendored: tuple[dict[str, Any], UploadedBundle], cloud_bucket: Bucket, tmp_path: Path
) -> None:
    import tarfile

    values, _ = vendored
    cluster = {"kind": "emr-serverless", "execution_role": "arn:aws:iam::1:role/x"}
    placed = bundle.upload(config_of(values, "out-archive", engine="spark", cluster=cluster), lambda _: None)
    assert placed.archive_uri is not None
    (tmp_path / "a.tar.gz").write_bytes(cloud_bucket.get(placed.archive_uri.removeprefix("s3://fruits/cloud/")))
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        archive.extractall(tmp_path / "environment", filter="data")
    python = Path(shutil.which("python3.11") or "").parent
    told = subprocess.run(
        ["./environment/bin/python", "-c", "import fruitscale, openvino, pyarrow, obstore; print(fruitscale.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env={"PATH": f"/usr/bin:/bin:{python}"},
    )  # fmt: skip
    assert told.stdout.strip() == str(tmp_path / "environment" / "lib" / "fruitscale" / "__init__.py")
