"""AWS's partitions: the same endpoints and ARNs as botocore's, and no name of one of them in the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from fruitscale.config import wizard
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import EU_REGIONS, Storage
from fruitscale.gdpr import policy_documents
from fruitscale.gdpr.buckets import Bucket
from fruitscale.gdpr.services import Services
from fruitscale.storage import aws
from fruitscale.storage.partitions import partition_of, service_domain
from tests.conftest import ROOT

REGIONS = {
    "aws": "eu-west-3", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1", "aws-eusc": "eusc-de-east-1",
    "aws-iso": "us-iso-east-1", "aws-iso-b": "us-isob-east-1", "aws-iso-e": "eu-isoe-west-1", "aws-iso-f": "us-isof-south-1",
}  # fmt: skip
SERVICES = ("iam", "sts", "emr", "emr-serverless", "kms")
EVERY = [pytest.param(name, region, id=name) for name, region in REGIONS.items()]


def made(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b")  # type: ignore[call-overload]


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "some")


def test_every_partition_of_botocore_is_tested() -> None:
    assert set(boto3.session.Session().get_available_partitions()) == set(REGIONS)


@pytest.mark.parametrize(("name", "region"), EVERY)
def test_a_region_is_in_its_partition(name: str, region: str) -> None:
    assert partition_of(region).name == name == boto3.session.Session().get_partition_for_region(region)
    storage = Storage(region=region)
    assert aws.s3_endpoint(storage) == made("s3", region).meta.endpoint_url
    assert aws.is_aws(storage.model_copy(update={"endpoint": aws.s3_endpoint(storage)}))


def test_every_region_that_botocore_knows_is_in_its_partition() -> None:
    session = boto3.session.Session()
    for name in REGIONS:
        assert {partition_of(region).name for region in session.get_available_regions("ec2", name)} <= {name}


@pytest.mark.parametrize(("name", "region"), EVERY)
def test_the_audit_s_clients_are_in_the_partition(name: str, region: str) -> None:
    services = Services(Storage(region=region))
    for service in SERVICES:
        client = services.other(service)
        assert client.meta.endpoint_url == made(service, region).meta.endpoint_url
        assert client.meta.endpoint_url.endswith(partition_of(region).dns_suffix)
    bucket = Bucket("photos", frozenset(), region, services)
    assert bucket.arn == f"arn:{name}:s3:::photos"


def test_another_store_is_not_aws() -> None:
    for endpoint in ("http://localhost:9000", "https://s3.fr-par.scw.cloud", "https://amazonaws.com.example.org"):
        assert not aws.is_aws(Storage(region="fr-par", endpoint=endpoint))
    assert partition_of("fr-par").name == "aws"  # as ARNs are written there


@pytest.mark.parametrize(("name", "region"), EVERY)
def test_the_policies_are_of_the_partition(name: str, region: str) -> None:
    config = from_mapping(
        {
            "engine": "spark",
            "input": {"uri": "s3://photos/in"},
            "output": {"uri": "s3://photos/out"},
            "storage": {"region": region, "staging_uri": "s3://photos/staging", "encryption": "sse-kms"},
            "cluster": {"kind": "emr"},
        }
    )
    keys = {"STORAGE_KEY": f"arn:{name}:kms:{region}:1:key/1", "DISK_KEY": f"arn:{name}:kms:{region}:1:key/2"}
    values = policy_documents.values_of(config, "123456789012", vpc="vpc-1") | keys
    text = "".join(str(policy_documents.filled(document, values)) for document in policy_documents.names())
    assert set(re.findall(r"arn:([\w-]+):", text)) == {name}
    assert f"s3.{region}.{partition_of(region).dns_suffix}" in text


def test_services_have_the_commercial_domain_in_every_partition() -> None:
    assert {service_domain(region) for region in REGIONS.values()} == {"amazonaws.com"}
    assert service_domain("cn-north-1", "elasticmapreduce") == "amazonaws.com.cn"
    assert service_domain("eusc-de-east-1", "elasticmapreduce") == "amazonaws.com"


def test_the_code_names_no_partition() -> None:
    package = ROOT / "fruitscale"
    files = [path for path in package.rglob("*") if path.suffix in {".py", ".sh", ".json", ".html", ".yaml"}]
    assert len(files) > 200
    assert [str(path) for path in files if _names_a_partition(path)] == []


def _names_a_partition(path: Path) -> bool:
    return re.search(r"amazonaws\.|arn:aws\b", path.read_text()) is not None


def test_init_takes_the_sovereign_cloud() -> None:
    assert "eusc-de-east-1" in EU_REGIONS
    answers = {"input.uri": "s3://photos/in", "output.uri": "s3://photos/out", "storage.region": "eusc-de-east-1"}
    wizard.check("storage.region", "eusc-de-east-1")
    assert 'region: "eusc-de-east-1"' in wizard.config_text(answers)
