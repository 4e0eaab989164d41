"""Configs that AWS would refuse are refused by the plan and by the launch, in the same words; good ones pass."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fruitscale.clusters import cluster_run, launch_checks
from fruitscale.clusters import launch_plan as plans
from fruitscale.clusters.check_results import CheckVerdict
from fruitscale.clusters.config_problems import SERVERLESS_TAG
from fruitscale.clusters.launch import Launch
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.errors import FruitscaleError, UsageError
from tests.cloud.cloud import ACCOUNT, REGION, Refusal
from tests.cloud.simulated_account import KEY, Account

ROLE = f"arn:aws:iam::{ACCOUNT}:role/fruitscale-run"
ELSEWHERE = KEY.replace(REGION, "eu-central-1")
GOV_KEY = KEY.replace("arn:aws:", "arn:aws-us-gov:")
FOREIGN_PROFILE = "arn:aws:iam::999999999999:instance-profile/EMR_EC2_DefaultRole"
ABSENT_KEY = KEY.replace("1111", "9999")
MAKES = ("Create", "Run", "Start", "Put", "Authorize")


@dataclass(frozen=True)
class Networks:
    """Subnets of an account: without a way out, with S3's endpoint alone, with S3's and KMS's, and public."""

    closed: str
    s3: str
    s3_kms: str
    public: str
    tiny: str
    group: str
    foreign: str
    """A security group of another VPC."""


@pytest.fixture(scope="module")
def networks(shared: Account) -> Networks:
    made = {name: _subnet(shared, number, name) for number, name in enumerate(("closed", "s3", "s3_kms", "public"), 20)}
    ec2 = shared.client("ec2")
    vpc = ec2.describe_subnets(SubnetIds=[shared.subnet])["Subnets"][0]["VpcId"]
    tiny = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.200.0/28")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="ours", Description="ours", VpcId=vpc)["GroupId"]
    other = ec2.describe_subnets(SubnetIds=[made["closed"]])["Subnets"][0]["VpcId"]
    foreign = ec2.create_security_group(GroupName="theirs", Description="theirs", VpcId=other)["GroupId"]
    return Networks(**made, tiny=tiny, group=group, foreign=foreign)


def _subnet(account: Account, number: int, kind: str) -> str:
    """Create a VPC with one subnet and the kind's routes and endpoints."""
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")["Vpc"]["VpcId"]
    subnet: str = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.{number}.1.0/24")["Subnet"]["SubnetId"]
    ec2.create_tags(
        Resources=[vpc, subnet], Tags=[{"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"}]
    )
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    if kind.startswith("s3"):
        ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[table], VpcEndpointType="Gateway"
        )
    if kind == "s3_kms":
        for service in ("kms", "elasticmapreduce"):
            ec2.create_vpc_endpoint(
                VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.{service}", VpcEndpointType="Interface", SubnetIds=[subnet],
                PrivateDnsEnabled=True,
            )  # fmt: skip
    if kind == "public":
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    return subnet


Settings = Callable[[Networks, Account], dict[str, Any]]
BROKEN: list[tuple[str, str, dict[str, Any] | Settings, str]] = [
    ("no-subnets", "emr", {"subnets": []}, r"cluster.subnets is not set"),
    ("no-subnets-dask", "ec2-dask", {"subnets": []}, r"cluster.subnets is not set"),
    ("release-unknown", "emr", {"release": "emr-7.99.0"}, r"has no release emr-7.99.0"),
    ("release-unknown-serverless", "emr-serverless", {"release": "emr-7.99.0"}, r"has no release emr-7.99.0"),
    ("release-old", "emr", {"release": "emr-6.15.0"}, r"emr-6.15.0, which is too old"),
    ("release-no-label", "emr-serverless", {"release": "7.13"}, r"7.13, which is not a release of EMR"),
    ("executor-memory", "emr", {"python_mb": 4000}, r"executor: it needs 4 vCPU and 17408 MB; c5.2xlarge has 8 vCPU"),
    ("executor-cores", "emr", {"executor_cores": 16, "python_mb": 100}, r"executor: it needs 16 vCPU"),
    ("executor-one-small-type", "emr", {"worker_types": ["c6i.2xlarge", "c6i.large"]}, r"c6i.large has 2 vCPU and 3072 MB"),
    ("root-disk", "emr", {"disk_gb": 200}, r"cluster.disk_gb: must be at most 100, got 200"),
    ("key-absent", "emr", {"disk_key": ABSENT_KEY}, r"disk key: .*9999.* does not exist"),
    ("key-elsewhere", "ec2-dask", {"disk_key": ELSEWHERE}, r"a key in eu-central-1, but the machines are in eu-west-3"),
    ("key-no-arn", "emr", {"disk_key": "alias/ours"}, r"alias/ours, which is not the ARN of a KMS key"),
    ("group-absent", "ec2-dask", {"security_group": "sg-00000000"}, r"security group sg-00000000: .*does not exist"),
    ("group-elsewhere", "ec2-dask", lambda n, a: {"security_group": n.foreign}, r"security group .*: it is in vpc-.*, but the"),
    ("groups-mixed", "emr", lambda n, a: {"primary_group": n.group}, r"EMR can't mix yours with its own"),
    ("serverless-size", "emr-serverless", {"python_mb": 9000}, r"4 vCPU needs 37 GB, but EMR Serverless offers"),
    ("serverless-cores", "emr-serverless", {"executor_cores": 3}, r"cluster.executor_cores: must be 1, 2, 4, 8 or 16, got 3"),
    ("role-no-arn", "emr-serverless", {"execution_role": "fruitscale-run"}, r"fruitscale-run, which is not the ARN of a role"),
    ("role-absent", "emr-serverless", {"execution_role": f"{ROLE}-2"}, r"role: fruitscale-run-2 does not exist"),
    ("profile-no-arn", "emr", {"instance_profile": ROLE}, r"neither the name nor the ARN of an instance profile"),
    ("profile-absent", "ec2-dask", {"instance_profile": "nobody"}, r"instance profile: nobody does not exist"),
    ("type-absent", "emr", {"worker_types": ["t9.huge"]}, r"machines: t9.huge does not exist in eu-west-3"),
    ("type-small", "emr", {"primary_type": "c6i.large"}, r"c6i.large is too small: it has 4096 MB, and needs 7000 MB"),
    ("type-small-dask", "ec2-dask", {"scheduler_type": "t3.micro"}, r"t3.micro is too small"),
    ("type-not-of-emr", "emr", {"worker_types": ["t3.2xlarge"]}, r"emr-7.13.0 does not support t3.2xlarge"),
    ("type-other-cpu", "emr", {"worker_types": ["m7g.2xlarge"]}, r"m7g.2xlarge is not x86_64"),
    ("hours-short", "emr", {"max_hours": 0.1}, r"max_hours is 0.1 \(6 minutes\): machines would end before"),
    ("hours-boot", "ec2-dask", {"max_hours": 1, "boot_minutes": 60}, r"max_hours is 1 \(60 minutes\)"),
    ("hours-week", "emr", {"max_hours": 200}, r"cluster.max_hours: must be at most 168"),
    ("subnet-absent", "emr", {"subnets": ["subnet-12345678"]}, r"subnet-12345678 does not exist"),
    ("subnet-closed", "ec2-dask", lambda n, a: {"subnets": [n.closed]}, r"no route to the internet, and no endpoint for s3"),
    ("subnet-no-kms", "emr", lambda n, a: {"subnets": [n.s3], "vendor_wheels": True}, r"no endpoint for kms"),
    ("subnet-no-index", "ec2-dask", lambda n, a: {"subnets": [n.s3]}, r"machines can't reach a package index"),
    ("subnet-public", "ec2-dask", lambda n, a: {"subnets": [n.public]}, r"machines without public addresses can't use"),
    ("subnets-two-vpcs", "ec2-dask", lambda n, a: {"subnets": [a.subnet, n.closed]}, r"network: the subnets are in 2 VPCs"),
    ("subnet-tiny", "ec2-dask", lambda n, a: {"subnets": [n.tiny], "workers": 100}, r"the largest has 11 free addresses"),
    ("serverless-closed", "emr-serverless", lambda n, a: {"subnets": [n.closed], "security_groups": [n.foreign]}, r"for s3"),
    ("serverless-half", "emr-serverless", lambda n, a: {"subnets": [a.subnet]}, r"Only one of cluster.subnets and"),
    ("image-elsewhere", "emr-serverless", {"image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/a:1"}, r"is in us-east-1"),
    ("image-absent", "ec2-dask", {"image": "ami-00000000"}, r"image: ami-00000000 does not exist"),
    ("configuration-absent", "emr", {"security_configuration": "nobody"}, r"security configuration: nobody does not exist"),
    ("tags", "emr", {"tags": {"aws:x": "y"}}, r"cluster.tags has tags that AWS refuses: aws:x=y"),
    ("tag-characters", "emr", {"tags": {"who?": "a<b>"}}, r"tags that AWS refuses: who\?=a<b>"),
    ("tag-serverless", "emr-serverless", {"tags": {"équipe": "x"}}, r"tags that AWS refuses: équipe=x"),
    ("key-partition", "emr", {"disk_key": GOV_KEY}, r"ARNs in eu-west-3 begin with arn:aws:"),
    ("role-account", "emr-serverless", {"execution_role": ROLE.replace(ACCOUNT, "9" * 12)}, r"role: .* in another account"),
    ("profile-account", "emr", {"instance_profile": FOREIGN_PROFILE}, r"in another account"),
    ("lock", "emr", {"requirements": "/nowhere/lock.txt"}, r"/nowhere/lock.txt: No such file"),
    ("subnets-twice", "emr", lambda n, a: {"subnets": [a.subnet, a.subnet]}, r"cluster.subnets has subnet-\w+ twice"),
    ("idle", "emr", {"idle_minutes": 600, "max_hours": 2}, r"idle_minutes is 600, longer than cluster.max_hours"),
    ("types-unequal", "emr", {"worker_types": ["c6i.2xlarge", "c6i.4xlarge"]}, r"sizes differ: c6i.2xlarge has 8 vCPU, c6i.4x"),
    ("types-twice", "emr", {"worker_types": ["c6i.2xlarge", "c6i.2xlarge"]}, r"c6i.2xlarge twice"),
]  # fmt: skip


def found_by_plan(config: Config) -> str:
    """Return what a plan refuses a config for, in the launch's own words; empty if it passes."""
    made = plans.plan(config)
    return " | ".join(f"{check.name}: {check.found}" for check in made.checks if check.verdict is CheckVerdict.FAIL)


def cases(table: list[Any], quick: tuple[str, ...]) -> list[Any]:
    """Return the parameters of a table; only the quick ones run in the ordinary set."""
    return [pytest.param(*c[1:], id=c[0], marks=() if c[0] in quick else pytest.mark.slow) for c in table]


QUICK = (
    "no-subnets",
    "release-unknown",
    "executor-memory",
    "key-absent",
    "group-elsewhere",
    "type-absent",
    "subnet-closed",
)


@pytest.mark.parametrize(("kind", "settings", "reason"), cases(BROKEN, QUICK))
def test_a_broken_config_is_refused_with_its_reason(
    account: Account, networks: Networks, kind: str, settings: dict[str, Any] | Settings, reason: str
) -> None:
    given = settings(networks, account) if callable(settings) else settings
    try:
        planned = found_by_plan(account.config(kind, **given))
    except UsageError as error:
        planned = error.message
    assert re.search(reason, planned)
    try:
        config = account.config(kind, **given)
    except UsageError:
        return  # refused as it is read
    with pytest.raises(FruitscaleError) as caught:
        cluster_run.run(config)
    assert all(part in caught.value.message for part in planned.split(" | "))
    assert not [asked for asked in account.proxy.asked if asked.operation.startswith(MAKES)]


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        ("emr", {"spark": {"master": "spark://h:7077", "conf": {}}}, "spark.master is spark://h:7077"),
        ("emr-serverless", {"spark": {"conf": {"spark.executor.memory": "200g"}}}, "cluster.executor_memory_mb"),
        ("ec2-dask", {"dask": {"scheduler": "tcp://h:8786"}}, "dask.scheduler is tcp://h:8786"),
        (
            "emr",
            {"input": {"uri": "s3://photos/staging"}},
            "staging_uri is s3://photos/staging, which overlaps input.uri",
        ),
        ("ec2-dask", {"output": {"uri": "s3://photos/staging/out"}}, "which overlaps output.uri"),
        ("emr", {"slots": 500}, "slots is 500, but the machines of a cluster run one task per core"),
    ],
)
def test_settings_of_another_cluster_are_refused(
    account: Account, kind: str, more: dict[str, Any], reason: str
) -> None:
    values = account.config(kind).model_dump(mode="json") | more
    with pytest.raises(UsageError, match=reason):
        plans.plan(from_mapping(values))


def test_a_key_that_is_not_used_is_refused(account: Account) -> None:
    values = account.config("emr").model_dump(mode="json")
    values["storage"]["encryption"] = "sse-s3"
    with pytest.raises(UsageError, match="sse-s3, which uses no key of yours"):
        plans.plan(from_mapping(values))


GOOD: list[tuple[str, str, dict[str, Any] | Settings]] = [
    ("emr", "emr", {}),
    ("emr-spark-4", "emr", {"release": "emr-spark-8.0.0"}),
    ("emr-graviton", "emr", {"architecture": "aarch64", "primary_type": "m7g.xlarge", "worker_types": ["c7g.2xlarge"]}),
    ("emr-on-demand", "emr", {"spot": 0, "disk_gb": 100, "max_hours": 168}),
    ("emr-endpoints", "emr", lambda n, a: {"subnets": [n.s3_kms], "vendor_wheels": True}),
    ("emr-tags", "emr", {"tags": {"équipe": "vergers: Île-de-France"}}),
    ("emr-public", "emr", lambda n, a: {"subnets": [n.public]}),
    ("serverless", "emr-serverless", {}),
    ("serverless-spark-4", "emr-serverless", {"release": "emr-spark-8.0.0", "executor_cores": 16, "python_mb": 6000}),
    ("serverless-vpc", "emr-serverless", lambda n, a: {"subnets": [a.subnet], "security_groups": [n.group]}),
    ("dask", "ec2-dask", {}),
    ("dask-graviton", "ec2-dask", {"architecture": "aarch64", "scheduler_type": "m6g.xlarge", "worker_types": ["c6g.2xlarge"]}),
    ("dask-endpoint", "ec2-dask", lambda n, a: {"subnets": [n.s3], "vendor_wheels": True, "market": "spot"}),
    ("dask-group", "ec2-dask", lambda n, a: {"security_group": n.group, "disk_key": KEY, "max_hours": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings"), cases(GOOD, ("emr-graviton", "serverless-spark-4", "dask-endpoint")))
def test_a_good_config_passes(
    account: Account, networks: Networks, kind: str, settings: dict[str, Any] | Settings
) -> None:
    given = settings(networks, account) if callable(settings) else settings
    assert found_by_plan(account.config(kind, **given)) == ""


def test_the_tags_of_a_launch_suit_every_service(account: Account) -> None:
    launch = Launch("0" * 8, account.config("emr-serverless", purpose="récolte"), 0.0, "Zoé <zoe@example.org>")
    assert all(SERVERLESS_TAG.fullmatch(value) for value in launch.tags.values())


def test_every_missing_key_is_named_at_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    values = account.config("emr", subnets=[]).model_dump(mode="json")
    values["input"]["uri"] = values["output"]["uri"] = ""
    values["storage"] |= {"staging_uri": None, "region": None}
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError) as caught:
        plans.plan(from_mapping(values))
    keys = ("input.uri", "output.uri", "storage.staging_uri", "storage.region", "cluster.subnets")
    assert caught.value.message.startswith("5 settings keep this config from being launched:")
    assert all(f"{key} is not set" in caught.value.message for key in keys)


def test_a_failing_audit_is_in_the_plan_in_the_launch_s_words(account: Account) -> None:
    config = account.config("ec2-dask")
    config = config.model_copy(update={"gdpr": config.gdpr.model_copy(update={"enforce": True})})
    (planned,) = [check for check in plans.plan(config).checks if check.name == launch_checks.AUDIT]
    with pytest.raises(FruitscaleError) as caught:
        cluster_run.run(config)
    assert (planned.verdict, planned.found, planned.remedy) == (
        CheckVerdict.FAIL,
        caught.value.message,
        caught.value.hint,
    )


def test_what_could_not_be_looked_at_does_not_refuse_a_launch(account: Account) -> None:
    services = ("iam", "ec2", "kms", "elasticmapreduce", "servicequotas")
    account.proxy.rule = lambda asked: Refusal("AccessDenied", 403) if asked.service in services else None
    verdicts = {check.name: check.verdict for check in plans.plan(account.config("emr")).checks}
    assert {verdicts.pop("bucket photos"), verdicts.pop("photos")} == {CheckVerdict.PASS}
    assert set(verdicts.values()) == {CheckVerdict.UNKNOWN}
    assert {"machines", "release", "service role", "disk key", f"subnet {account.subnet}"} <= set(verdicts)
