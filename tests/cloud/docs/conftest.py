"""A folder as a newcomer has it after `make install`, and an account at moto with what the documents take for granted."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cloud.cloud import REGION
from tests.cloud.simulated_account import Account
from tests.conftest import ROOT, Cli
from tests.s3.conftest import VARIABLES

BUCKETS = ("my-photos", "my-results")
AWS = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.cloud.docs.aws_command "$@"\n'


@pytest.fixture
def workplace(photos_24: Path, account: Account, tmp_path: Path) -> Path:
    """A copy of what is there after `make install`, with photos, and configs that are filled in."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path)
    for name in ("configs", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "results").mkdir()
    shutil.copytree(photos_24, tmp_path / "photos")
    visitor = tmp_path / "photos" / "Apple Red" / "visitor-17.jpg"
    visitor.parent.mkdir(exist_ok=True)
    shutil.copyfile(next(photos_24.rglob("*.jpg")), visitor)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "aws").write_text(AWS)
    (tmp_path / "bin" / "aws").chmod(0o755)
    for name, kind in (("my-emr", "emr"), ("my-ec2", "ec2-dask")):
        filled_in(tmp_path / f"{name}.yaml", account, kind)
    filled_in(tmp_path / "run.yaml", account, None)
    _furnish(account, photos_24)
    return tmp_path


@pytest.fixture
def environment(cli: Cli, account: Account, workplace: Path) -> dict[str, str]:
    """What a shell has: the tests' account, the installed commands, and nothing that points elsewhere."""
    plain = {k: v for k, v in cli.environment.items() if not k.startswith("AWS_") and k != "PYTHONPATH"}
    path = os.pathsep.join([str(workplace / "bin"), str(Path(sys.prefix) / "bin"), plain["PATH"]])
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(account.lock_path.parent)}
    return plain | VARIABLES | pip | {"AWS_ENDPOINT_URL": account.url, "AWS_REGION": REGION, "PATH": path}


@pytest.fixture
def nothing_left(left: Callable[[], list[str]]) -> Iterator[None]:
    """Whatever a document launches is ended when it is read."""
    yield
    assert left() == []


def filled_in(path: Path, account: Account, kind: str | None) -> None:
    """Write a config with the keys that the documents tell to fill in."""
    values = account.config(kind or "emr").model_dump(mode="json", exclude_defaults=True)
    if kind is None:
        del values["cluster"]
    path.write_text(yaml.safe_dump(values))


def _furnish(account: Account, photos: Path) -> None:
    """Make the buckets and the role that the documents name."""
    s3, iam = account.client("s3"), account.client("iam")
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in set(BUCKETS) - there:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    for path in photos.rglob("*.jpg"):
        s3.put_object(Bucket=BUCKETS[0], Key=f"Training/{path.relative_to(photos)}", Body=path.read_bytes())
    if "fruitscale-worker" not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        iam.create_role(RoleName="fruitscale-worker", AssumeRolePolicyDocument="{}")
