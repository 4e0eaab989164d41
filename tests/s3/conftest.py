"""What the S3 tests share: the servers, buckets, and the CLI with credentials of the tests' own."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fruitscale.storage import credentials, s3
from tests.conftest import Cli, take
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.proxy import Proxy, proxied
from tests.s3.runs import Watched, watch
from tests.s3.secured import Aws

LABELS, EACH = 6, 16
N_PHOTOS = LABELS * EACH
VARIABLES = {
    "AWS_ACCESS_KEY_ID": servers.KEY_ID,
    "AWS_SECRET_ACCESS_KEY": servers.SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
}
_numbers = itertools.count()


class TidyCli(Cli):
    """Knows what it started."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(environment)
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen[str]:
        self.started.append(super().start(*arguments, **variables))
        return self.started[-1]


@pytest.fixture(scope="module", autouse=True)
def aws() -> Iterator[None]:
    """Put the tests' credentials into the environment, and nothing else of AWS."""
    import os

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        forget()
        yield
    forget()


def forget() -> None:
    """Drop the clients and sessions that this process keeps: the environment has changed."""
    credentials.session.cache_clear()
    s3._client.cache_clear()


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.seaweedfs(tmp_path_factory.mktemp("weed")) as endpoint:
        servers.client(endpoint).create_bucket(Bucket="fruits")
        yield endpoint


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(weed: str) -> Bucket:
    """A prefix of the test's own at SeaweedFS."""
    return Bucket(weed, "fruits", f"test-{next(_numbers)}", servers.client(weed))


@pytest.fixture
def moto_bucket(moto: str) -> Bucket:
    """A prefix of the test's own at moto, in a bucket of the region that the tests name."""
    client = servers.client(moto)
    if "fruits" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="fruits", CreateBucketConfiguration={"LocationConstraint": servers.REGION})
    return Bucket(moto, "fruits", f"test-{next(_numbers)}", client)


@pytest.fixture(scope="module")
def cloud(moto: str) -> Iterator[Aws]:
    """An AWS that is moto, as the environment of an audit has it."""
    with pytest.MonkeyPatch.context() as patch:
        for service in ("IAM", "KMS", "STS"):
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", moto)
        yield Aws(moto)


@pytest.fixture(scope="module")
def logs(cloud: Aws) -> str:
    """A bucket for logs, as it should be."""
    return cloud.secured("logs", None)


@pytest.fixture(scope="module")
def secured_photos(cloud: Aws, logs: str) -> str:
    """A bucket with photos and results, as it should be."""
    return cloud.secured("photos", logs)


@pytest.fixture
def cloud_proxy(moto: str) -> Iterator[Proxy]:
    with proxied(moto) as running:
        yield running


@pytest.fixture
def proxy(weed: str) -> Iterator[Proxy]:
    with proxied(weed) as running:
        yield running


@pytest.fixture(scope="session")
def few(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 photos of 6 labels."""
    return take(photos, tmp_path_factory.mktemp("few") / "in", LABELS, EACH)


@pytest.fixture(scope="session")
def few_on_s3(few: Path, weed: str) -> Bucket:
    """The same photos at SeaweedFS."""
    place = Bucket(weed, "fruits", "few/in", servers.client(weed))
    place.put_folder(few)
    return place


@pytest.fixture(scope="session", params=["local", "spark", pytest.param("dask", marks=pytest.mark.slow)])
def watched(
    request: pytest.FixtureRequest, s3_cli: Cli, few_on_s3: Bucket, weed: str, tmp_path_factory: pytest.TempPathFactory
) -> Watched:
    """A run of 96 photos on each engine, from SeaweedFS to SeaweedFS, that nothing disturbed."""
    target = Bucket(weed, "fruits", f"watched-{request.param}", servers.client(weed))
    return watch(s3_cli, request.param, few_on_s3, target, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session")
def s3_cli(cli: Cli) -> TidyCli:
    """`fruitscale` with the tests' credentials in its environment."""
    plain = {k: v for k, v in cli.environment.items() if not k.startswith("AWS_")}
    return TidyCli(plain | VARIABLES | {"PYTHONFAULTHANDLER": "1"})  # so that a run that hangs can tell where


@pytest.fixture(autouse=True)
def ended(s3_cli: TidyCli) -> Iterator[None]:
    """End the runs that a test which failed left behind."""
    yield
    while s3_cli.started:
        process = s3_cli.started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()
