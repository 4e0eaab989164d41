"""Every request of a launch: as data, against botocore's model, and as sent."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from fruitscale.clusters import ec2_requests, emr_requests
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.config.cluster_section import Ec2Dask, Emr
from fruitscale.engines.base import GROWING_CORES
from fruitscale.engines.spark_settings import expected_cores
from tests.cloud.cloud import REGION, Asked, user_data
from tests.cloud.simulated_account import KEY, Account
from tests.s3.servers import KEY_ID, SECRET

BUNDLE = UploadedBundle(
    "s3://photos/staging/bundles/abc", "0" * 64, "s3://photos/staging/wheels/def", "s3://a/b.tar.gz", "s3://a/m"
)
GLOBAL = ("iam",)
KINDS = ("emr", "emr-serverless", "ec2-dask")


def launch_of(shared: Account, kind: str, **cluster: Any) -> Launch:
    return Launch("20260101T000000Z-abcdef", shared.config(kind, **cluster), 1767225600.0, "tests")


@pytest.mark.parametrize(
    ("kind", "cluster"),
    [
        pytest.param("emr", {}, id="emr"),
        pytest.param("emr", {"spot": 0, "security_configuration": "theirs", "primary_group": "sg-1"}, id="emr-theirs"),
        pytest.param("emr-serverless", {"disk_key": KEY}, id="serverless"),
        pytest.param(
            "emr-serverless", {"subnets": ["s"], "security_groups": ["g"], "application": "00a"}, id="serverless-vpc"
        ),
        pytest.param(
            "emr-serverless", {"image": "123456789012.dkr.ecr.eu-west-3.amazonaws.com/spark:1"}, id="serverless-image"
        ),
        pytest.param("ec2-dask", {}, id="ec2"),
        pytest.param("ec2-dask", {"market": "spot", "disk_key": KEY, "architecture": "aarch64"}, id="ec2-spot"),
        pytest.param(
            "ec2-dask",
            {"image": "ami-1", "security_group": "sg-1", "instance_profile": "arn:aws:iam::1:x"},
            id="ec2-theirs",
        ),
    ],
)
def test_every_request_fits_botocores_model(shared: Account, kind: str, cluster: dict[str, Any]) -> None:
    import botocore.session
    from botocore import xform_name
    from botocore.validate import ParamValidator

    requests = launcher_of(launch_of(shared, kind, **cluster)).requests(BUNDLE)
    assert requests
    for request in requests:
        model = botocore.session.get_session().get_service_model(request.service)
        names = {xform_name(name): name for name in model.operation_names}
        shape = model.operation_model(names[request.operation]).input_shape
        assert shape is not None
        assert ParamValidator().validate(request.parameters, shape).generate_report() == ""


def test_the_emr_request_has_the_settings(shared: Account) -> None:
    launch = launch_of(shared, "emr", core=2, spot=6, max_hours=3)
    assert isinstance(launch.cluster, Emr)
    asked = emr_requests.job_flow(launch, launch.cluster, BUNDLE)
    assert asked["ReleaseLabel"] == "emr-7.13.0"
    fleets = {fleet["InstanceFleetType"]: fleet for fleet in asked["Instances"]["InstanceFleets"]}
    targets = {kind: (f.get("TargetOnDemandCapacity", 0), f.get("TargetSpotCapacity", 0)) for kind, f in fleets.items()}
    assert targets == {"MASTER": (1, 0), "CORE": (2, 0), "TASK": (0, 6)}
    assert asked["ManagedScalingPolicy"]["ComputeLimits"] == {
        "UnitType": "InstanceFleetUnits", "MinimumCapacityUnits": 2, "MaximumCapacityUnits": 8,
        "MaximumOnDemandCapacityUnits": 2, "MaximumCoreCapacityUnits": 2,
    }  # fmt: skip
    assert asked["AutoTerminationPolicy"] == {"IdleTimeout": 900}
    assert not asked["Instances"]["KeepJobFlowAliveWhenNoSteps"]
    assert asked["LogEncryptionKmsKeyId"] == KEY
    tags = {tag["Key"]: tag["Value"] for tag in asked["Tags"]}
    assert tags["for-use-with-amazon-emr-managed-policies"] == "true"
    assert tags["fruitscale:expires"] == "2026-01-01T03:00:00Z"
    assert {tags["fruitscale:owner"], tags["fruitscale:purpose"]} == {"tests", "image features"}
    action = asked["BootstrapActions"][0]["ScriptBootstrapAction"]
    assert action["Args"] == [REGION, BUNDLE.uri, BUNDLE.wheels_uri]


def test_the_step_is_a_spark_submit_of_the_bundle(shared: Account) -> None:
    launch = launch_of(shared, "emr", executor_cores=4, python_mb=900, executor_memory_mb=1024)
    assert isinstance(launch.cluster, Emr)
    words = emr_requests.spark_submit(launch, launch.cluster)
    conf = dict(word.split("=", 1) for word in words if word.startswith("spark."))
    assert words[:3] == ["spark-submit", "--deploy-mode", "client"]
    assert conf["spark.pyspark.python"] == "/opt/fruitscale/bin/python"
    assert (conf["spark.executor.memory"], conf["spark.executor.memoryOverhead"]) == ("1024m", "3984m")
    assert conf["spark.hadoop.fs.s3a.endpoint.region"] == REGION
    assert words[-5:] == ["/opt/fruitscale/main.py", "--run", launch.uri, "--region", REGION]


@pytest.mark.parametrize(
    ("cluster", "cores"),
    [
        pytest.param({}, 64, id="the-defaults"),
        pytest.param({"core": 3, "spot": 0, "worker_types": ["c6i.4xlarge"], "executor_cores": 5}, 45, id="16-by-5"),
        pytest.param({"worker_types": ["c6i.large"], "executor_cores": 1}, 16, id="small"),
        pytest.param({"worker_types": ["c6i.metal"]}, GROWING_CORES, id="not-in-the-name"),
    ],
)
def test_spark_requests_every_executor_at_once(shared: Account, cluster: dict[str, Any], cores: int) -> None:
    launch = launch_of(shared, "emr", **cluster)
    assert isinstance(launch.cluster, Emr)
    words = emr_requests.spark_submit(launch, launch.cluster)
    conf = dict(word.split("=", 1) for option, word in pairwise(words) if option == "--conf")
    conf["spark.dynamicAllocation.enabled"] = "true"  # EMR's default
    assert expected_cores(conf.get) == cores
    assert conf.get("spark.dynamicAllocation.initialExecutors") == conf.get("spark.dynamicAllocation.maxExecutors")


def test_the_security_configuration_encrypts_everything(shared: Account) -> None:
    asked = json.loads(emr_requests.security_configuration(launch_of(shared, "emr"))["SecurityConfiguration"])
    encryption = asked["EncryptionConfiguration"]
    assert encryption["EnableInTransitEncryption"]
    assert encryption["EnableAtRestEncryption"]
    assert encryption["AtRestEncryptionConfiguration"]["S3EncryptionConfiguration"] == {
        "EncryptionMode": "SSE-KMS",
        "AwsKmsKey": KEY,
    }
    disks = encryption["AtRestEncryptionConfiguration"]["LocalDiskEncryptionConfiguration"]
    assert (disks["EnableEbsEncryption"], disks["AwsKmsKey"]) == (True, KEY)
    assert asked["InstanceMetadataServiceConfiguration"]["MinimumInstanceMetadataServiceVersion"] == 2


@pytest.mark.parametrize(("hours", "minutes"), [(12, 720), (0.001, 1), (0.51, 31)])
def test_a_machine_ends_by_itself(shared: Account, hours: float, minutes: int) -> None:
    launch = launch_of(shared, "ec2-dask", max_hours=hours)
    lines = ec2_requests.user_data(launch, BUNDLE, ["worker"]).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert f"shutdown -h +{minutes}" in lines[:4]
    trap = next(line for line in lines if line.startswith("trap"))
    assert trap.endswith("shutdown -h now' EXIT")
    assert f"--sse aws:kms --sse-kms-key-id {KEY} " in trap


def test_a_client_token_is_of_one_request(shared: Account) -> None:
    launch = launch_of(shared, "ec2-dask")
    assert isinstance(launch.cluster, Ec2Dask)

    template = ec2_requests.InstanceTemplate(launch, launch.cluster, BUNDLE, "ami", "sg")

    def token(subnet: str, kind: str) -> str:
        asked = ec2_requests.workers(template, subnet, kind, "10.0.0.1")
        return str(asked["ClientToken"])

    assert token("a", "x") == token("a", "x")
    assert len({token("a", "x"), token("b", "x"), token("a", "y")}) == 3
    assert len(token("a", "x")) <= 64


@pytest.fixture(params=KINDS)
def wire(request: pytest.FixtureRequest, recorded: dict[str, list[Asked]]) -> list[Asked]:
    found: list[Asked] = recorded[request.param]
    return found


def test_no_request_without_the_region(wire: list[Asked]) -> None:
    assert len(wire) > 10
    assert {asked.region for asked in wire if asked.service not in GLOBAL} == {REGION}


def test_nobody_outside_is_let_in(recorded: dict[str, list[Asked]]) -> None:
    every = [asked for kind in KINDS for asked in recorded[kind]]
    rules = [asked for asked in every if "Ingress" in asked.operation]
    assert len(rules) == 1
    for rule in rules:
        assert rule.said["IpPermissions.1.Groups.1.GroupId"] == rule.said["GroupId"]
        assert not [key for key in rule.said if "Cidr" in key or "PrefixList" in key]
    machines = [asked for asked in every if asked.operation == "RunInstances"]
    assert {asked.said["NetworkInterface.1.AssociatePublicIpAddress"] for asked in machines} == {"false"}
    assert {asked.said["MetadataOptions.HttpTokens"] for asked in machines} == {"required"}


def test_everything_is_encrypted(recorded: dict[str, list[Asked]]) -> None:
    every = [asked for kind in KINDS for asked in recorded[kind]]
    puts = [asked for asked in every if asked.is_s3 and asked.method == "PUT"]
    assert len(puts) > 5
    assert {asked.headers.get("x-amz-server-side-encryption") for asked in puts} == {"aws:kms"}
    assert {asked.headers.get("x-amz-server-side-encryption-aws-kms-key-id") for asked in puts} == {KEY}
    machines = [asked for asked in every if asked.operation == "RunInstances"]
    assert len(machines) == 2
    for asked in machines:
        disks = [key for key in asked.said if re.fullmatch(r"BlockDeviceMapping\.\d+\.Ebs\.VolumeSize", key)]
        assert disks
        for key in disks:
            assert asked.said[key.replace("VolumeSize", "Encrypted")] == "true"
            assert asked.said[key.replace("VolumeSize", "DeleteOnTermination")] == "true"
    application, job = (next(a for a in every if a.operation == name) for name in ("CreateApplication", "StartJobRun"))
    assert application.said["diskEncryptionConfiguration"] == {"encryptionKeyArn": KEY}
    monitoring = job.said["configurationOverrides"]["monitoringConfiguration"]
    assert monitoring["s3MonitoringConfiguration"]["encryptionKeyArn"] == KEY
    assert monitoring["managedPersistenceMonitoringConfiguration"] == {"enabled": False}


def test_machines_end_with_their_work(recorded: dict[str, list[Asked]]) -> None:
    machines = [asked for asked in recorded["ec2-dask"] if asked.operation == "RunInstances"]
    assert {asked.said["InstanceInitiatedShutdownBehavior"] for asked in machines} == {"terminate"}
    assert machines[1].said["InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"] == "terminate"


def test_everything_has_our_tags(recorded: dict[str, list[Asked]]) -> None:
    wanted = {"fruitscale:run", "fruitscale:owner", "fruitscale:purpose", "fruitscale:expires"}
    makes = ("RunJobFlow", "CreateApplication", "StartJobRun", "CreateSecurityGroup", "RunInstances")
    found = [asked for kind in KINDS for asked in recorded[kind] if asked.operation in makes]
    assert len(found) == 6
    for asked in found:
        for tagged in _tagged(asked):
            assert wanted <= tagged, asked.operation


def _tagged(asked: Asked) -> Iterator[set[str]]:
    if asked.service == "ec2":
        for number in {key.split(".")[1] for key in asked.said if key.startswith("TagSpecification.")}:
            yield {v for k, v in asked.said.items() if re.fullmatch(rf"TagSpecification\.{number}\.Tag\.\d+\.Key", k)}
    elif asked.service == "emr-serverless":
        yield set(asked.said["tags"])
    else:
        yield {tag["Key"] for tag in asked.said["Tags"]}


def test_what_a_machine_is_started_with_holds_no_secret(recorded: dict[str, list[Asked]]) -> None:
    machines = [asked for asked in recorded["ec2-dask"] if asked.operation == "RunInstances"]
    keys = [asked for asked in recorded["ec2-dask"] if asked.is_s3 and asked.method == "PUT" and "/tls/" in asked.path]
    assert {asked.path.rpartition("/")[2] for asked in keys} == {"ca.pem", "cert.pem", "key.pem"}
    lines = [line for asked in keys for line in asked.body.decode().splitlines() if len(line) > 40]
    for asked in machines:
        data = user_data(asked)
        assert len(data) < 16384
        assert not [secret for secret in (KEY_ID, SECRET, "PRIVATE KEY", *lines) if secret in data]
        assert shlex.split(data.splitlines()[-1])[:3] == [
            "/opt/fruitscale/bin/python",
            "-m",
            "fruitscale.clusters.machines.dask_machine",
        ]


def test_the_keys_of_a_run_are_removed_at_its_end(wire: list[Asked]) -> None:
    made = {asked.path for asked in wire if asked.method == "PUT" and "/tls/" in asked.path}
    asked_for = [asked.body.decode() for asked in wire if asked.method == "POST" and asked.path.endswith("?delete")]
    gone = {f"/photos/{key}" for body in asked_for for key in re.findall(r"<Key>(.*?)</Key>", body)}
    assert made == gone
