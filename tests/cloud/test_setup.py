"""fruitscale cluster setup: an empty account becomes one where the audit passes and a launch of each kind works."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.s3.models import FakeBucket

from fruitscale.clusters import launch_plan
from fruitscale.clusters.account import account_setup, setup_template
from fruitscale.clusters.account.account_setup import SetupOptions
from fruitscale.config.filled_file import fill
from fruitscale.config.loading import from_mapping, load
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError
from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.findings import AuditVerdict
from fruitscale.storage.partitions import partition_of
from fruitscale.uris import parse_s3
from tests.cloud.cloud import ACCOUNT, REGION
from tests.cloud.formation import Formation, without_conditions
from tests.cloud.simulated_account import Account
from tests.conftest import Cli

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")  # tests/cloud/formation.py makes these
KINDS = ("emr", "emr-serverless", "ec2-dask")
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeBucket, "get_permission", without_conditions(FakeBucket.get_permission))


def empty_config(kind: str, **cluster: Any) -> dict[str, Any]:
    """Return a config with nothing of an account in it."""
    return {
        "engine": "dask" if kind == "ec2-dask" else "spark",
        "model": {"architecture": "patch_mean", "input_size": 64},
        "pca": {"components": 2},
        "storage": {"region": REGION},
        "cluster": {"kind": kind, **cluster},
    }


def set_up(account: Account, values: dict[str, Any], **options: Any) -> Config:
    """Set the account up as the command does; return the config with what that filled in."""
    found = SetupOptions(**{"stack": f"setup{next(_numbers)}", "input_bucket": True, **options})
    settings = account_setup.apply(account_setup.propose(from_mapping(values), found))
    Formation(account.client, found.stack).complete()
    bucket = parse_s3(settings["input.uri"]).bucket
    for number in range(3):
        account.client("s3").put_object(Bucket=bucket, Key=f"photos/plum/{number}.jpg", Body=b"a photo")
    return from_mapping(yaml.safe_load(fill(yaml.safe_dump(values), settings)))


@pytest.mark.parametrize(
    ("kind", "minimal"),
    [
        ("emr", False),
        pytest.param("emr", True, marks=pytest.mark.slow),
        pytest.param("emr-serverless", False, marks=pytest.mark.slow),
        pytest.param("emr-serverless", True, marks=pytest.mark.slow),
        pytest.param("ec2-dask", False, marks=pytest.mark.slow),
        pytest.param("ec2-dask", True, marks=pytest.mark.slow),
    ],
)
def test_after_the_setup_the_audit_and_the_plan_have_no_fail(account: Account, kind: str, minimal: bool) -> None:
    config = set_up(account, empty_config(kind), minimal=minimal)
    assert audit(config).of(AuditVerdict.FAIL) == ()
    assert [check for check in launch_plan.plan(config).checks if check.verdict == "fail"] == []


def test_the_minimal_setup_has_no_key_and_no_endpoints_and_the_audit_agrees(account: Account) -> None:
    config = set_up(account, empty_config("emr"), minimal=True)
    assert (config.storage.kms_key, config.storage.encryption) == (None, "sse-s3")
    assert config.cluster is not None
    assert config.cluster.disk_key is None
    found = {(each.subject, each.setting): each.found for each in audit(config).findings}
    assert found["cluster (emr)", "disks"] == "the account encrypts all new disks, with a key that AWS manages"
    (given_up,) = [text for text in setup_template.gives_up(choices("emr", minimal=True)) if "KMS" in text]
    assert "keys that AWS manages" in given_up


@pytest.mark.slow
def test_the_command_shows_the_changes_and_fills_the_file(cloud_cli: Cli, account: Account, tmp_path: Path) -> None:
    path, stack = tmp_path / "emr.yaml", f"setup{next(_numbers)}"
    path.write_text("# mine\n" + yaml.safe_dump(empty_config("emr")))
    words = ["cluster", "setup", "--config", path, "--apply", "--input-bucket", "--stack", stack]
    asked = cloud_cli(*words)
    assert asked.code == 2
    assert "--yes" in asked.err
    assert stack not in str(account.client("cloudformation").describe_stacks())
    made = cloud_cli(*words, "--yes")
    assert made.code == 0, made.out + made.err
    assert "AWS::IAM::Role" in made.out
    assert path.read_text().startswith("# mine\n")
    filled = load(path).config
    assert filled.output.uri == f"s3://{stack}-output-{ACCOUNT}-{REGION}/runs/first"
    again = cloud_cli(*words, "--yes")
    assert again.code == 0, again.out + again.err
    assert load(path).config == filled
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    assert [each["StackName"] for each in stacks].count(stack) == 1


@pytest.mark.slow
def test_another_kind_is_added_to_the_stack(account: Account) -> None:
    stack = f"setup{next(_numbers)}"
    first = set_up(account, empty_config("emr"), stack=stack)
    other = {**empty_config("emr-serverless"), "output": {"uri": f"s3://{stack}-output-{ACCOUNT}-{REGION}/more/b"}}
    second = set_up(account, other, stack=stack)
    formation = Formation(account.client, stack)
    assert {"Network", "KmsEndpoint"} <= set(formation.template["Resources"])
    (worker,) = [each for each in formation.template["Resources"]["WorkerRole"]["Properties"]["Policies"]
                 if each["PolicyName"] == "worker"]  # fmt: skip
    assert "-output-${AWS::AccountId}-eu-west-3/more/*" in json.dumps(worker)
    assert [audit(config).of(AuditVerdict.FAIL) for config in (first, second)] == [(), ()]
    foreign = {**empty_config("emr"), "output": {"uri": "s3://other-results/runs/b"}}
    with pytest.raises(UsageError, match="is for other buckets"):
        set_up(account, foreign, stack=stack)


def test_existing_buckets_stay_as_they_are(account: Account) -> None:
    values = {**empty_config("ec2-dask"), "input": {"uri": "s3://photos/in"}}
    proposed = account_setup.propose(from_mapping(values), SetupOptions(f"setup{next(_numbers)}", input_bucket=True))
    account_setup.discard(proposed)
    assert proposed.existing == ("photos",)
    assert "photos" not in proposed.choices.buckets


def choices(kind: str, *, minimal: bool = False, region: str = REGION) -> Any:
    values = empty_config(kind)
    values["storage"] = {"region": region}
    return account_setup.choices_of(
        from_mapping(values), SetupOptions(minimal=minimal, input_bucket=True, email="a@b.fr")
    )


def test_a_config_without_photos_is_refused() -> None:
    with pytest.raises(UsageError, match=r"input\.uri is not set"):
        account_setup.choices_of(from_mapping(empty_config("emr")), SetupOptions())


def test_data_and_the_key_outlive_the_stack() -> None:
    resources = setup_template.template(choices("emr"))["Resources"]
    kept = {each["Type"] for each in resources.values() if each.get("DeletionPolicy") == "Retain"}
    assert {"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::IAM::ServiceLinkedRole"} <= kept
    assert all(e["DeletionPolicy"] == "Retain" for e in resources.values() if e["Type"] == "AWS::S3::Bucket")


LINTED = [REGION, *(pytest.param(each, marks=pytest.mark.slow) for each in ("eu-central-1", "eusc-de-east-1"))]


@pytest.mark.parametrize("region", LINTED)
def test_cfn_lint_has_no_objection(region: str, tmp_path: Path) -> None:
    files = []
    for kind, minimal in itertools.product(KINDS, (False, True)):
        files.append(tmp_path / f"{kind}-{minimal}.json")
        made = setup_template.template(choices(kind, minimal=minimal, region=region))
        files[-1].write_text(setup_template.as_text(made, files[-1].name))
    linted = lint(files, region)
    assert linted.returncode == 0, linted.stdout


def lint(files: list[Path], region: str) -> subprocess.CompletedProcess[str]:
    """Check templates with cfn-lint, whose rule for state machines (E3601) only knows ARNs of the partition aws."""
    command = [
        sys.executable,
        "-c",
        "from cfnlint import runner; runner.main()",
        "--regions",
        region,
        *(() if partition_of(region).name == "aws" else ("--ignore-checks", "E3601")),
        "--",
        *map(str, files),
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True)
