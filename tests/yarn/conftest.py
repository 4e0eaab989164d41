"""A YARN for all tests, S3 at SeaweedFS, an AWS account at moto for the launch, and credentials from a stand-in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fruitscale.clusters import cluster_run
from fruitscale.clusters.launch import Launch
from fruitscale.config.loading import from_mapping
from fruitscale.engines.java import find_java
from tests.cloud.cloud import Asked
from tests.cloud.simulated_account import Account
from tests.conftest import Cli, part_bytes
from tests.s3.bucket import PLACE, Bucket
from tests.s3.conftest import forget
from tests.s3.metadata import Metadata, metadata_service
from tests.yarn.step import PrimaryMachine
from tests.yarn.yarn_cluster import SPARK, Yarn, missing, yarn_cluster

PATCHES = {"architecture": "patch_mean", "input_size": 64}
NETWORK = {"architecture": "efficientnet_lite0", "weights": "packaged", "input_size": 96}
SHARD = 8


Launcher = Callable[..., tuple[Launch, Asked]]


def local_parts(cli: Cli, photos: Path, folder: Path, model: Mapping[str, object]) -> dict[str, bytes]:
    """Return the parts of a run on this machine."""
    sets = [word for key, value in model.items() for word in ("--set", f"model.{key}={value}")]
    more = ["--set", f"shards.images={SHARD}", "--set", "pca.components=2", "--set", "report=false"]
    made = cli("run", "-e", "local", "-i", photos, "-o", folder, *sets, *more)
    assert made.code == 0, made.err
    return part_bytes(folder)


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="fruitscale-yarn-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with metadata_service() as server:
        yield server


@pytest.fixture
def yarn(open_folder: Path, tmp_path: Path) -> Iterator[Yarn]:
    if reason := missing():
        pytest.skip(reason)
    with yarn_cluster(open_folder / tmp_path.name / "yarn") as started:
        yield started


@pytest.fixture
def primary(open_folder: Path, tmp_path: Path, yarn: Yarn, metadata: Metadata, cloud_bucket: Bucket) -> PrimaryMachine:
    variables = {
        "AWS_ENDPOINT_URL_S3": cloud_bucket.endpoint,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
    }
    return PrimaryMachine(open_folder / tmp_path.name / "primary", yarn, find_java(SPARK).home, variables)


@pytest.fixture
def launched(account: Account, cloud_bucket: Bucket) -> Callable[..., tuple[Launch, Asked]]:
    """A function that launches on EMR at moto, and returns the launch and the recorded RunJobFlow."""

    def launch(
        model: Mapping[str, Any], folder: str = "in", output: str | None = None, **cluster: Any
    ) -> tuple[Launch, Asked]:
        forget()
        small = {"worker_types": ["c6i.xlarge"], "core": 1, "spot": 1, "executor_memory_mb": 512, "python_mb": 450}
        values = account.config("emr", **{**small, **cluster}).model_dump(mode="json")
        values["input"]["uri"] = f"s3://fruits/cloud/{folder}"
        values["output"]["uri"] = output or f"s3://fruits/cloud/out-{account.number}"
        values["model"] |= model
        values["shards"]["images"] = SHARD
        values["storage"] |= {
            "endpoint": cloud_bucket.endpoint, "residency": "declared", "place": PLACE, "encryption": None,
            "kms_key": None, "staging_uri": "s3://fruits/cloud/staging", "retry_seconds": 120,
        }  # fmt: skip
        made = cluster_run.run(from_mapping(values), detach=True).launch
        return made, account.proxy.of("RunJobFlow")[-1]

    return launch
