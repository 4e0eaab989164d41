"""Erasing from runs on S3: what a bucket keeps of old versions goes too. moto stands in for AWS here."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import fruitscale
from fruitscale import api
from fruitscale.config.schema import Storage
from fruitscale.errors import OutputError
from fruitscale.runs import manifest
from fruitscale.runs.writer import remove_private_paths
from fruitscale.storage import aws, credentials
from fruitscale.storage.aws import s3_client
from fruitscale.storage.s3 import S3Store
from tests.conftest import Cli
from tests.integration.erased import RUN, check_counts, naming, some

REGION, PREFIX = "eu-west-3", "runs/one"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    credentials.session.cache_clear()
    yield
    credentials.session.cache_clear()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A moto server on a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


class Bucket:
    """A bucket that a run folder was put into."""

    def __init__(self, endpoint: str, name: str, *, versioned: bool) -> None:
        self.name, self.endpoint, self.uri = name, endpoint, f"s3://{name}/{PREFIX}"
        self.storage = Storage(region=REGION, endpoint=endpoint)
        self.client = s3_client(self.storage)
        self.client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        if versioned:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def put(self, folder: Path, times: int = 1) -> None:
        for _ in range(times):
            for path in (path for path in folder.rglob("*") if path.is_file() and path.name != "lock"):
                key = f"{PREFIX}/{path.relative_to(folder).as_posix()}"
                self.client.put_object(Bucket=self.name, Key=key, Body=path.read_bytes())

    def versions(self, kind: str = "Versions") -> list[dict[str, Any]]:
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.name)
        return [found for page in pages for found in page.get(kind, ())]

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield every version of every object."""
        for found in self.versions():
            key, version = found["Key"], found["VersionId"]
            yield key, self.client.get_object(Bucket=self.name, Key=key, VersionId=version)["Body"].read()

    def fetch(self, folder: Path) -> Path:
        for found in self.client.list_objects_v2(Bucket=self.name)["Contents"]:
            path = folder / found["Key"].removeprefix(f"{PREFIX}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.client.get_object(Bucket=self.name, Key=found["Key"])["Body"].read())
        return folder


@pytest.fixture
def versioned_bucket(endpoint: str, run: Path, request: pytest.FixtureRequest) -> Bucket:
    """A versioned bucket in which every file of the run has an old version."""
    made = Bucket(endpoint, f"bucket-{abs(hash(request.node.name)) % 10**9}", versioned=True)
    made.put(run, times=2)
    made.client.put_object(
        Bucket=made.name, Key=f"{PREFIX}/_run/photos.parquet", Body=(run / "manifest.parquet").read_bytes()
    )
    made.client.delete_object(
        Bucket=made.name, Key=f"{PREFIX}/_run/photos.parquet"
    )  # as a run with hashed paths leaves it
    made.client.put_object(Bucket=made.name, Key="notes.txt", Body=b"one")
    made.client.put_object(Bucket=made.name, Key="notes.txt", Body=b"two")
    return made


def flags(versioned_bucket: Bucket) -> list[str]:
    return ["--set", f"storage.region={REGION}", "--set", f"storage.endpoint={versioned_bucket.endpoint}"]


@pytest.mark.parametrize("refit", [False, True], ids=["plain", "refit"])
def test_no_version_names_what_was_erased(
    cli: Cli, run: Path, versioned_bucket: Bucket, tmp_path: Path, refit: bool
) -> None:
    gone = some(run)
    chosen = [arg for path in gone for arg in ("--path", path)] + (["--refit"] if refit else [])
    assert naming(versioned_bucket.contents(), gone)
    cli = Cli(cli.environment | VARIABLES)
    ran = cli("erase", versioned_bucket.uri, *chosen, *flags(versioned_bucket), "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert naming(versioned_bucket.contents(), gone) == set()
    assert (told["versions_remaining"], ran.err) == (0, "")
    assert told["versions_removed"] > len(gone)
    old = {found["Key"] for found in versioned_bucket.versions() if not found["IsLatest"]}
    markers = {found["Key"] for found in versioned_bucket.versions("DeleteMarkers")}
    assert old | markers <= {"notes.txt", f"{PREFIX}/_run/lock"}
    fetched = versioned_bucket.fetch(tmp_path / "fetched")
    check_counts(fetched)
    local = fruitscale.erase(str(run), gone, refit=refit)
    assert local.files == told["files"]
    for name in ("run.json", "manifest.parquet", "features/part-00001.parquet", "reduced/part-00001.parquet"):
        assert (fetched / name).read_bytes() == (run / name).read_bytes()


def test_a_bucket_without_versions_is_left_with_none(run: Path, endpoint: str) -> None:
    bucket = Bucket(endpoint, "unversioned", versioned=False)
    bucket.put(run)
    done = fruitscale.erase(bucket.uri, some(run), storage=bucket.storage)
    assert (done.versions_removed, done.versions_remaining) == (0, 0)
    assert naming(bucket.contents(), some(run)) == set()


class _Denied:
    """A client of S3 whose user may not do some things."""

    def __init__(self, client: Any, denied: set[str], whole_request: bool) -> None:
        self._client, self._denied, self._whole = client, denied, whole_request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_paginator(self, name: str) -> Any:
        if name in self._denied:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, name)
        return self._client.get_paginator(name)

    def delete_objects(self, **request: Any) -> Any:
        if "delete_objects" not in self._denied:
            return self._client.delete_objects(**request)
        if self._whole:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObjects")
        return {"Errors": [{**found, "Code": "AccessDenied"} for found in request["Delete"]["Objects"]]}


@pytest.mark.parametrize(
    ("denied", "whole_request"),
    [
        pytest.param("delete_objects", False, id="each version denied"),
        pytest.param("delete_objects", True, id="the request denied"),
        pytest.param("list_object_versions", True, id="the listing denied"),
    ],
)
def test_a_missing_permission_is_told(
    run: Path, versioned_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, denied: str, whole_request: bool
) -> None:
    monkeypatch.setattr(aws, "s3_client", lambda storage: _Denied(s3_client(storage), {denied}, whole_request))
    done = fruitscale.erase(versioned_bucket.uri, some(run), storage=versioned_bucket.storage)
    keys = {found["Key"] for found in versioned_bucket.versions() if not found["IsLatest"]} - {"notes.txt"}
    assert done.versions_removed == 0
    assert done.versions_remaining > 10
    assert denied == "list_object_versions" or done.versions_remaining == len(keys - _after(keys))
    hidden = {found["Key"] for found in versioned_bucket.versions("DeleteMarkers") if found["IsLatest"]}
    assert f"{PREFIX}/report.html" in hidden  # without its marker the old page would be back
    receipt = json.loads(
        versioned_bucket.client.get_object(Bucket=versioned_bucket.name, Key=f"{PREFIX}/{done.receipt}")["Body"].read()
    )
    assert receipt["versions"] == {"removed": 0, "remaining": done.versions_remaining}


def _after(keys: set[str]) -> set[str]:
    """What got old versions after the count: the journal's and the lock's own."""
    return {key for key in keys if key.endswith(("_run/erase.json", "_run/lock"))}


def test_an_interrupted_one_is_finished(
    run: Path, versioned_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write", stop)
        with pytest.raises(ConnectionError):
            fruitscale.erase(versioned_bucket.uri, some(run), storage=versioned_bucket.storage)
    with pytest.raises(OutputError, match="interrupted"):
        api.record(versioned_bucket.uri, versioned_bucket.storage)
    done = fruitscale.erase(versioned_bucket.uri, storage=versioned_bucket.storage)
    assert done.resumed
    assert naming(versioned_bucket.contents(), some(run)) == set()
    check_counts(versioned_bucket.fetch(tmp_path / "fetched"))


@pytest.mark.parametrize("fails", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["complete", "failed"])
def test_a_run_with_hashed_paths_leaves_no_version_with_real_ones(
    cli: Cli, named: Path, endpoint: str, fails: bool
) -> None:
    bucket = Bucket(endpoint, f"hashed-{fails}".lower(), versioned=True)
    settings = ["output.paths=hashed", f"images.max_reject_fraction={0 if fails else 0.5}"]
    arguments = [*RUN, *(arg for setting in settings for arg in ("--set", setting)), *flags(bucket)]
    key = "the key that these tests hash paths with"
    ran = Cli(cli.environment | VARIABLES)("run", *arguments, "-i", named, "-o", bucket.uri, FRUITSCALE_PATH_KEY=key)
    assert ran.code == fails, ran.err
    assert "real paths" not in ran.err
    assert naming(bucket.contents(), [path.name for path in named.rglob("*.jpg")]) == set()
    assert not [found for found in bucket.versions("DeleteMarkers") if found["Key"].endswith("photos.parquet")]


def test_a_run_that_may_not_remove_versions_says_so(versioned_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = _Denied(s3_client(versioned_bucket.storage), {"delete_objects"}, whole_request=True)
    monkeypatch.setattr(aws, "s3_client", lambda storage: denied)
    problem = remove_private_paths(S3Store(versioned_bucket.uri, versioned_bucket.storage))
    assert problem is not None
    assert "s3:DeleteObjectVersion" in problem
