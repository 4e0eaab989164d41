"""What the cloud tests share: an account at moto with what a launch needs, and configs that launch in it."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from fruitscale.clusters import cluster_run
from fruitscale.clusters.wheels import zipped
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.storage import aws as asking
from tests.cloud.cloud import ACCOUNT, REGION, Asked, Proxy, proxied
from tests.conftest import Cli, take
from tests.s3 import servers
from tests.s3.bucket import Bucket
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
    found: list[str] = field(default_factory=list)
    """What `left` found last."""

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(service, region_name=REGION, endpoint_url=self.url)  # type: ignore[call-overload]

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
                "input": {"uri": "s3://photos/in"},
                "output": {"uri": f"s3://photos/out-{self.number}"},
                "model": {"architecture": "patch_mean", "input_size": 64},
                "pca": {"components": 2},
                "gdpr": {"enforce": False},  # the account has what a launch needs, and nothing that an audit asks for
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

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def shared(moto_url: str, photos_24: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with proxied(moto_url) as (proxy, url), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        patch.setattr(asking, "POLL_SECONDS", 0.1)
        patch.setattr(cluster_run, "APPEARS_SECONDS", 0.1)
        forget()
        account = Account(proxy, url, "", _package(tmp_path_factory.mktemp("packages"), patch))
        account.subnet = _furnish(account, photos_24)
        yield account
    forget()


@pytest.fixture
def account(shared: Account) -> Iterator[Account]:
    """The account, with what was asked for before forgotten; whatever a test leaves there is a failure."""
    shared.proxy.clear()
    yield shared
    shared.proxy.rule = lambda asked: None
    if shared.found:
        _sweep(shared)
        shared.found = []


@pytest.fixture(scope="session")
def photos_24(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photos of 3 labels."""
    return take(photos, tmp_path_factory.mktemp("few") / "in", 3, 8)


@pytest.fixture(scope="session")
def cloud_bucket(tmp_path_factory: pytest.TempPathFactory, photos_24: Path) -> Iterator[Bucket]:
    """SeaweedFS with the photos."""
    with servers.seaweedfs(tmp_path_factory.mktemp("weed")) as endpoint:
        client = servers.client(endpoint)
        client.create_bucket(Bucket="fruits")
        Bucket(endpoint, "fruits", "cloud/in", client).put_folder(photos_24)
        yield Bucket(endpoint, "fruits", "cloud", client)


@pytest.fixture(scope="session")
def local_run(cli: Cli, photos_24: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same photos on this machine."""
    run = tmp_path_factory.mktemp("whole") / "run"
    model = ["--set", "model.architecture=patch_mean", "--set", "model.input_size=64", "--set", "pca.components=2"]
    made = cli("run", "-e", "local", "-i", photos_24, "-o", run, "--set", "slots=1", *model)
    assert made.code == 0, made.err
    return run


def _package(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make a package index of one small package, and a lock of that: what machines install is not what is tested here."""
    name = "fruit_stone-1.0-py3-none-any.whl"
    info = "fruit_stone-1.0.dist-info"
    wheel = zipped(
        {
            "fruit_stone.py": b"",
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: fruit-stone\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": f"fruit_stone.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n".encode(),
        }
    )
    (folder / name).write_bytes(wheel)
    (folder / "requirements.txt").write_text(f"fruit-stone==1.0 --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n")
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(folder))
    return folder / "requirements.txt"


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
    ec2.create_tags(Resources=[network, subnet], Tags=[tag])
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [network]}])["RouteTables"]
    ec2.create_route(RouteTableId=tables[0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    _make_key(KEY)
    iam = account.client("iam")
    for role in ("EMR_DefaultRole_V2", "EMR_EC2_DefaultRole", "fruitscale-machine", "fruitscale-run"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    for profile in ("EMR_EC2_DefaultRole", "fruitscale-machine"):
        iam.create_instance_profile(InstanceProfileName=profile)
        iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=profile)
    return subnet


@pytest.fixture(scope="session")
def recorded(shared: Account) -> Iterator[dict[str, list[Asked]]]:
    """All requests of a launch of each kind, from plan to teardown, of an audit, and of a reaper."""
    from tests.cloud.recording import record

    yield record(shared)
    shared.proxy.clear()


def _make_key(arn: str) -> None:
    """Put a KMS key with a known ARN into the account."""
    from moto.kms import kms_backends

    keys = kms_backends[ACCOUNT][REGION]
    made = keys.create_key("", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "tests", {})
    del keys.keys[made.id]
    made.id, made.arn = arn.rpartition("/")[2], arn
    keys.keys[made.id] = made


@pytest.fixture
def cloud_cli(cli: Cli, account: Account) -> Cli:
    """`fruitscale` in the account."""
    plain = {k: v for k, v in cli.environment.items() if not k.startswith("AWS_")}
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(account.lock_path.parent)}
    return Cli(plain | VARIABLES | pip | {"AWS_ENDPOINT_URL": account.url})


def write(config: Config, folder: Path) -> Path:
    """Write a config to a file."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path


def _sweep(account: Account) -> None:
    """End what a test that failed left there, so that the next one isn't to blame."""
    ec2, emr, serverless = (account.client(service) for service in ("ec2", "emr", "emr-serverless"))
    for what in _left(account):
        kind, _, name = what.partition(" ")
        if kind == "machine":
            ec2.terminate_instances(InstanceIds=[name])
        elif kind == "group":
            ec2.delete_security_group(GroupName=name)
        elif kind == "configuration":
            emr.delete_security_configuration(Name=name)
    found = [each["Id"] for each in emr.list_clusters()["Clusters"]]
    emr.terminate_job_flows(JobFlowIds=found)
    for application in serverless.list_applications()["applications"]:
        if application["state"] != "TERMINATED":
            serverless.stop_application(applicationId=application["id"])
            serverless.delete_application(applicationId=application["id"])
    s3 = account.client("s3")
    for key in s3.list_objects_v2(Bucket="photos", Prefix="staging/runs/").get("Contents", ()):
        if "/tls/" in key["Key"]:
            s3.delete_object(Bucket="photos", Key=key["Key"])


@pytest.fixture
def left(account: Account) -> Callable[[], list[str]]:
    """Tell everything of launches that is in a state other than ended."""

    def look() -> list[str]:
        account.found = list(_left(account))
        return account.found

    return look


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
