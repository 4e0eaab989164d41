"""What the cloud tests share: an account at moto with what a launch needs, and configs that launch in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fruitscale.clusters import aws as asking
from fruitscale.clusters import runs
from fruitscale.config import Config, from_mapping
from tests.cloud.cloud import ACCOUNT, REGION, Proxy, proxied
from tests.s3.conftest import VARIABLES, forget

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
_numbers = itertools.count()


@dataclass
class Account:
    """An account: its proxy, its clients, the subnet, and configs with an output of their own."""

    proxy: Proxy
    url: str
    subnet: str
    lock_path: Path
    number: int = 0

    def client(self, service: str) -> Any:
        import boto3

        make: Any = boto3.client  # its stubs have an overload a service, and no name of one is a plain str
        return make(service, region_name=REGION, endpoint_url=self.url)

    def config(self, kind: str, **cluster: Any) -> Config:
        """Return a config for a launch of a kind."""
        self.number = next(_numbers)
        more: dict[str, Any] = {"kind": kind, "owner": "tests", "requirements": str(self.lock_path)}
        if kind != "emr-serverless":
            more["subnets"] = [self.subnet]
        if kind == "emr":
            more["disk_key"] = KEY
        if kind == "emr-serverless":
            more["execution_role"] = f"arn:aws:iam::{ACCOUNT}:role/fruitscale-run"
        return from_mapping(
            {
                "engine": "dask" if kind == "ec2-dask" else "spark",
                "slots": 1,
                "input": {"uri": "s3://photos/in"},
                "output": {"uri": f"s3://photos/out-{self.number}"},
                "model": {"architecture": "patch_mean", "input_size": 64},
                "pca": {"components": 2},
                "storage": {
                    "region": REGION, "staging_uri": "s3://photos/staging", "encryption": "sse-kms", "kms_key": KEY,
                    "retry_seconds": 20,
                },
                "cluster": {**more, **cluster},
            }
        )  # fmt: skip


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """moto, in this process: tests look into it, and play what only AWS does."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def shared(moto_url: str, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with proxied(moto_url) as (proxy, url), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        patch.setattr(asking, "POLL_SECONDS", 0.1)
        patch.setattr(runs, "APPEARS_SECONDS", 0.1)
        forget()
        lock = tmp_path_factory.mktemp("lock") / "requirements.txt"
        lock.write_text(f"numpy==2.4.6 --hash=sha256:{'0' * 64}\n")
        account = Account(proxy, url, "", lock)
        account.subnet = _furnish(account, few)
        yield account
    forget()


@pytest.fixture
def account(shared: Account) -> Iterator[Account]:
    """The account, with what was asked for before forgotten; whatever a test leaves there is a failure."""
    shared.proxy.clear()
    yield shared
    shared.proxy.rule = lambda asked: None


@pytest.fixture(scope="session")
def few(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import take

    return take(photos, tmp_path_factory.mktemp("few") / "in", 3, 8)


def _furnish(account: Account, photos: Path) -> str:
    """Put into the account what its owner would: a bucket with photos, a private subnet, roles."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"LocationConstraint": REGION})
    for path in photos.rglob("*.jpg"):
        s3.put_object(Bucket="photos", Key=f"in/{path.relative_to(photos).as_posix()}", Body=path.read_bytes())
    ec2 = account.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet: str = ec2.create_subnet(VpcId=network, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    tag = {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"}
    ec2.create_tags(Resources=[subnet], Tags=[tag])
    iam = account.client("iam")
    for role in ("EMR_DefaultRole_V2", "EMR_EC2_DefaultRole", "fruitscale-machine", "fruitscale-run"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    for profile in ("EMR_EC2_DefaultRole", "fruitscale-machine"):
        iam.create_instance_profile(InstanceProfileName=profile)
        iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=profile)
    return subnet


@pytest.fixture
def left(account: Account) -> Callable[[], list[str]]:
    """Tell everything of launches that is in a state other than ended."""
    return lambda: list(_left(account))


def _left(account: Account) -> Iterator[str]:
    ec2 = account.client("ec2")
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":
                yield f"machine {instance['InstanceId']}"
    yield from (
        f"group {g['GroupName']}"
        for g in ec2.describe_security_groups()["SecurityGroups"]
        if "fruitscale" in g["GroupName"]
    )
    yield from (f"disk {volume['VolumeId']}" for volume in ec2.describe_volumes()["Volumes"])
    emr = account.client("emr")
    for cluster in emr.list_clusters()["Clusters"]:
        if not cluster["Status"]["State"].startswith("TERMINATED"):
            yield f"cluster {cluster['Name']}"
    yield from (f"configuration {c['Name']}" for c in emr.list_security_configurations()["SecurityConfigurations"])
    serverless = account.client("emr-serverless")
    for application in serverless.list_applications()["applications"]:
        if application["state"] != "TERMINATED":
            yield f"application {application['name']}"
    keys = account.client("s3").list_objects_v2(Bucket="photos", Prefix="staging/runs/").get("Contents", ())
    yield from (key["Key"] for key in keys if "/tls/" in key["Key"])
