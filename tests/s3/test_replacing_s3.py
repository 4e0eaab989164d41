"""A complete run on S3 stays complete until another one replaces it; tampered objects are found and repaired."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import QUICK, part_bytes
from tests.s3.bucket import Bucket
from tests.s3.conftest import TidyCli
from tests.s3.runs import SHARD, arguments, check_clean, finish, wait_for

OTHERS = {
    "another-pca": ["--set", "pca.components=3"],
    "another-model": ["--set", "model.architecture=patch_mean", "--overwrite"],
    "other-photos": ["--set", "input.limit=40"],
}


@pytest.mark.parametrize(
    "other",
    ["another-pca", *(pytest.param(name, marks=pytest.mark.slow) for name in ("another-model", "other-photos"))],
)
def test_the_old_run_stays_until_the_new_one_is_complete(
    s3_cli: TidyCli, few: Path, few_on_s3: Bucket, bucket: Bucket, tmp_path: Path, other: str
) -> None:
    assert s3_cli(*arguments("local", few_on_s3, bucket)).code == 0
    before = {name: bucket.get(name) for name in json.loads(bucket.get("run.json"))["files"]}
    stopped = s3_cli.start(*arguments("local", few_on_s3, bucket), *OTHERS[other])
    assert wait_for(lambda: "_run/next/manifest.parquet" in bucket.names() or stopped.poll() is not None)
    os.kill(stopped.pid, signal.SIGINT)
    if finish(stopped)[0] == 130 and b"reserved" in bucket.get("_run/next/run.json"):
        assert {name: bucket.get(name) for name in before} == before
    replaced = s3_cli(*arguments("local", few_on_s3, bucket), *OTHERS[other])
    assert replaced.code == 0, replaced.err
    check_clean(bucket)
    assert not [name for name in bucket.names() if name.startswith("_run/next/")]
    assert s3_cli("run", "-e", "local", *QUICK, *SHARD, *OTHERS[other], "-i", few, "-o", tmp_path / "run").code == 0
    assert bucket.parts() == part_bytes(tmp_path / "run")


def test_tampered_objects_are_repaired(s3_cli: TidyCli, few_on_s3: Bucket, bucket: Bucket) -> None:
    assert s3_cli(*arguments("local", few_on_s3, bucket)).code == 0
    parts = bucket.parts()
    bucket.put("features/part-00001.parquet", parts["features/part-00000.parquet"])
    bucket.put("features/part-00099.parquet", parts["features/part-00000.parquet"])
    bucket.put("pca/pca.npz", b"garbage")
    repaired = s3_cli(*arguments("local", few_on_s3, bucket))
    assert repaired.code == 0, repaired.err
    for problem in ("part-00001.parquet (damaged)", "part-00099.parquet (not of this run)", "pca.npz (damaged)"):
        assert problem in repaired.err.replace("\n", " ")
    assert bucket.parts() == parts
