"""The European Sovereign Cloud: an audit, a plan and a launch there ask its hosts only.

Each request is addressed by boto3 itself; just before it is sent, its host is recorded, and moto gets it. moto has neither
zones nor machine types for this region, so requests to EC2 get those of Paris.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from fruitscale.clusters.check_results import CheckVerdict
from fruitscale.clusters.launch_plan import plan
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config, Storage
from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.findings import AuditVerdict
from fruitscale.storage import aws, credentials
from tests.cloud.cloud import ACCOUNT
from tests.cloud.cloud import REGION as PARIS
from tests.s3.conftest import VARIABLES, forget

REGION = "eusc-de-east-1"
DOMAIN = f".{REGION}.amazonaws.eu"


@pytest.fixture(scope="module")
def hosts(moto_url: str) -> Iterator[set[str]]:
    """The hosts that boto3 asks; moto answers for them."""
    found: set[str] = set()

    def redirect(request: Any, **_: object) -> None:
        parts = urlsplit(request.url)
        found.add(str(parts.hostname))
        request.url = request.url.replace(f"{parts.scheme}://{parts.netloc}", moto_url, 1)
        if parts.netloc.startswith("ec2."):
            signature = request.headers["Authorization"].decode().replace(f"/{REGION}/", f"/{PARIS}/")
            request.headers["Authorization"] = signature

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**VARIABLES, "MOTO_ALLOW_NONEXISTENT_REGION": "true"}.items():
            patch.setenv(name, value)
        forget()
        credentials.session().events.register("before-send", redirect)
        yield found
    forget()


@pytest.fixture(scope="module")
def config(hosts: set[str]) -> Config:
    """A config of a bucket, a private subnet and roles in the region."""
    s3 = aws.s3_client(Storage(region=REGION, path_style=True))
    s3.create_bucket(Bucket="sovereign", CreateBucketConfiguration={"LocationConstraint": REGION})
    client = credentials.session().client
    ec2, iam = client("ec2", region_name=REGION), client("iam", region_name=REGION)
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"]
    tag = {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"}
    ec2.create_tags(Resources=[subnet, vpc], Tags=[tag])
    for role in ("sovereign-service", "sovereign-worker"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="sovereign-worker")
    iam.add_role_to_instance_profile(InstanceProfileName="sovereign-worker", RoleName="sovereign-worker")
    key = f"arn:aws-eusc:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
    return from_mapping(
        {
            "engine": "spark",
            "input": {"uri": "s3://sovereign/in"},
            "output": {"uri": "s3://sovereign/out"},
            "storage": {"region": REGION, "staging_uri": "s3://sovereign/staging", "path_style": True},
            "cluster": {
                "kind": "emr", "subnets": [subnet], "disk_key": key, "service_role": "sovereign-service",
                "instance_profile": "sovereign-worker",
            },
        }
    )  # fmt: skip


def test_an_audit_asks_its_hosts_only(config: Config, hosts: set[str]) -> None:
    hosts.clear()
    found = audit(config)
    assert {f"{service}{DOMAIN}" for service in ("s3", "iam", "ec2", "elasticmapreduce")} <= hosts
    assert not [host for host in hosts if not host.endswith(DOMAIN)]
    (region,) = (each for each in found.findings if each.subject == "s3://sovereign" and each.setting == "region")
    assert (region.verdict, region.found) == (AuditVerdict.PASS, REGION)
    (tls,) = (each for each in found.findings if each.subject == "s3://sovereign" and each.setting == "TLS only")
    assert "arn:aws-eusc:s3:::sovereign/*" in tls.remedy


def test_a_plan_asks_its_hosts_only(config: Config, hosts: set[str]) -> None:
    hosts.clear()
    found = plan(config)
    assert {f"{service}{DOMAIN}" for service in ("s3", "iam", "ec2", "servicequotas")} <= hosts
    assert not [host for host in hosts if not host.endswith(DOMAIN)]
    assert {check.name: check.verdict for check in found.checks}["bucket sovereign"] is CheckVerdict.PASS
    assert REGION in str([request.parameters for request in found.requests])
    assert "amazonaws.com" not in str(found.requests)
