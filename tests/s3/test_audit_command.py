"""`fruitscale gdpr audit`: what it prints, and how it ends. moto stands in for AWS."""

from __future__ import annotations

import json

import pytest

from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError
from fruitscale.gdpr.audit import audit
from tests.conftest import Cli
from tests.s3.secured import PARIS, Aws, config, lifecycle_rule, worker


def caller(s3_cli: Cli, cloud: Aws, bucket: str) -> Cli:
    """Make a user, in a group, with the policy that is shipped; return the command with that user's credentials."""
    iam, name = cloud.client("iam"), f"runner-{bucket}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="mine", PolicyDocument=json.dumps(worker(bucket)))
    iam.create_group(GroupName=f"group-{bucket}")
    iam.add_user_to_group(UserName=name, GroupName=f"group-{bucket}")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    variables = {f"AWS_ENDPOINT_URL_{service}": cloud.endpoint for service in ("IAM", "KMS", "STS")}
    variables |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return Cli(s3_cli.environment | variables)


def arguments(settings: Config) -> list[str]:
    values = {
        "input.uri": settings.input.uri, "output.uri": settings.output.uri, "output.paths": settings.output.paths,
        "storage.endpoint": settings.storage.endpoint, "storage.region": PARIS, "storage.encryption": "sse-s3",
    }  # fmt: skip
    return ["gdpr", "audit", *(part for key, value in values.items() for part in ("--set", f"{key}={value}"))]


def test_what_passes_ends_with_0_and_json_is_alone(s3_cli: Cli, cloud: Aws, secured_photos: str) -> None:
    cli = caller(s3_cli, cloud, secured_photos)
    ran = cli(*arguments(config(cloud.endpoint, secured_photos)), "--json", "--strict")
    assert ran.code == 0, ran.out
    assert not ran.err
    told = json.loads(ran.out)
    assert not told["failed"]
    assert told["counts"] == {"pass": len(told["findings"]), "fail": 0, "could not be checked": 0}
    subjects = {finding["subject"] for finding in told["findings"]}
    people = {f"user runner-{secured_photos}", f"group group-{secured_photos}"}
    assert people | {"config", f"s3://{secured_photos}"} < subjects


def test_what_fails_ends_with_1_and_the_commands_can_be_copied(s3_cli: Cli, cloud: Aws, logs: str) -> None:
    name = cloud.secured("open", logs)
    cloud.block(name)
    cloud.lifecycle(name, lifecycle_rule("nothing", Expiration={"Days": 1}))
    cli = caller(s3_cli, cloud, name)
    ran = cli(*arguments(config(cloud.endpoint, name)))
    assert ran.code == 1
    commands = [line for line in ran.out.splitlines() if line.startswith("aws s3api put-")]
    assert [line.split()[2] for line in commands] == [
        "put-public-access-block", "put-bucket-lifecycle-configuration",
    ]  # fmt: skip
    for line in commands:
        cloud.run(line)
    ran = cli(*arguments(config(cloud.endpoint, name)), "--markdown")
    assert ran.code == 0, ran.out
    assert "| Result | nothing fails |" in ran.out
    assert "neither legal advice" in ran.out


def test_what_could_not_be_checked_is_told_and_strict_ends_with_1(s3_cli: Cli) -> None:
    folders = ["gdpr", "audit", "--set", "input.uri=/photos", "--set", "output.uri=/results"]
    ran = s3_cli(*folders, "--json")
    assert ran.code == 0, ran.err
    assert "3 settings could not be checked, which counts as not passed." in ran.err
    assert {(each["subject"], each["verdict"]) for each in json.loads(ran.out)["findings"]} == {
        ("/photos", "could not be checked"), ("/results", "could not be checked"), ("config", "could not be checked"),
    }  # fmt: skip
    ran = s3_cli(*folders, "--strict")
    assert ran.code == 1
    assert "0 pass, 0 fail, 3 could not be checked. Not legal advice" in ran.out


def test_two_forms_at_once_are_wrong_use(s3_cli: Cli) -> None:
    ran = s3_cli("gdpr", "audit", "--markdown", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "--markdown and --json can't be combined." in ran.err


@pytest.mark.parametrize(
    ("uris", "told"),
    [
        (("", "s3://photos/out"), "input.uri is not set."),
        (("s3://photos/in", ""), "output.uri is not set."),
        (("s3://A_B/x", "s3://photos/out"), "is not the name of a bucket"),
        (("s3://photos/in", "s3://photos/out"), "storage.region is not set."),
    ],
)
def test_what_is_not_said_is_wrong_use(uris: tuple[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        audit(from_mapping({"input": {"uri": uris[0]}, "output": {"uri": uris[1]}}))
