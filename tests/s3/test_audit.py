"""The audit whole: where buckets are, what they are used for, and what AWS tells of a network. moto stands in for AWS."""

from __future__ import annotations

import pytest

from fruitscale.config.cluster_section import Emr
from fruitscale.gdpr import cluster_controls
from fruitscale.gdpr.access_controls import encryption_key
from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.buckets import Bucket
from fruitscale.gdpr.findings import AuditFinding, AuditVerdict, ControlResult
from fruitscale.gdpr.services import Services, UnansweredError
from tests.s3.proxy import Proxy
from tests.s3.secured import PARIS, Aws, config, lifecycle_rule, of

PASS, FAIL, UNKNOWN = AuditVerdict.PASS, AuditVerdict.FAIL, AuditVerdict.UNKNOWN


def test_a_bucket_in_another_region_fails_whatever_the_config_says(cloud: Aws) -> None:
    name = cloud.bucket("usa", "us-east-1")
    found = of(audit(config(cloud.endpoint, name)), f"s3://{name}")["region"]
    assert (found.verdict, found.found) == (FAIL, "it is in us-east-1, which is not allowed")
    assert found.remedy.startswith(f"aws s3api create-bucket --bucket {name}-{PARIS} --region {PARIS}")


def test_a_bucket_in_an_allowed_region_that_is_not_the_configured_one_fails(cloud: Aws) -> None:
    name = cloud.bucket("dublin", "eu-west-1")
    found = of(audit(config(cloud.endpoint, name)), f"s3://{name}")["region"]
    assert found.verdict is FAIL
    assert found.remedy == "--set storage.region=eu-west-1"


def test_of_a_bucket_that_is_not_there_that_alone_is_told(cloud: Aws) -> None:
    found = of(audit(config(cloud.endpoint, "not-there-at-all")), "s3://not-there-at-all")
    assert [(each.setting, each.verdict) for each in found.values()] == [("region", FAIL)]
    cloud.run(found["region"].remedy)
    assert of(audit(config(cloud.endpoint, "not-there-at-all")), "s3://not-there-at-all")["region"].verdict is PASS


@pytest.mark.parametrize("fate", ["denied", "regionless"])
def test_a_bucket_that_does_not_say_where_it_is_could_not_be_checked(
    cloud_proxy: Proxy, secured_photos: str, fate: str
) -> None:
    cloud_proxy.rule = lambda seen: fate if seen.method == "HEAD" else None
    found = of(audit(config(cloud_proxy.url, secured_photos)), f"s3://{secured_photos}")
    assert found["region"].verdict is UNKNOWN
    assert {each.verdict for setting, each in found.items() if setting != "region"} == {PASS}


def test_a_store_that_gives_no_answer_is_asked_once_a_bucket(cloud_proxy: Proxy, secured_photos: str) -> None:
    cloud_proxy.down = True
    found = of(audit(config(cloud_proxy.url, secured_photos)), f"s3://{secured_photos}")
    assert {each.verdict for each in found.values()} == {UNKNOWN}
    assert len(found) > 10
    assert {(seen.method, seen.target) for seen in cloud_proxy.seen} == {("HEAD", f"/{secured_photos}")}


def test_a_declared_place_could_not_be_checked(cloud: Aws, secured_photos: str) -> None:
    found = of(
        audit(config(cloud.endpoint, secured_photos, residency="declared", place="Lyon")), f"s3://{secured_photos}"
    )
    assert (found["region"].verdict, found["region"].found) == (UNKNOWN, "declared, not checked: Lyon")


def test_the_region_of_the_storage_must_be_allowed_too(cloud: Aws, secured_photos: str) -> None:
    found = audit(config(cloud.endpoint, secured_photos, allowed_regions=["eu-north-1"]))
    assert of(found, "config")["region"].verdict is FAIL
    assert of(found, f"s3://{secured_photos}")["region"].verdict is FAIL
    assert found.failed


# What one bucket is used for


def test_rules_must_cover_each_prefix_and_those_proposed_cover_no_other(cloud: Aws, logs: str) -> None:
    name = cloud.secured("shared", logs)
    theirs = lifecycle_rule("theirs", Filter={"Prefix": "theirs/"}, Expiration={"Days": 1})
    partly = lifecycle_rule("in", Filter={"Prefix": "in"}, NoncurrentVersionExpiration={"NoncurrentDays": 1})
    tagged = {"And": {"Prefix": "", "Tags": [{"Key": "old", "Value": "yes"}]}}
    some = lifecycle_rule("some", Filter=tagged, NoncurrentVersionExpiration={"NoncurrentDays": 1})
    off = lifecycle_rule("off", Status="Disabled", NoncurrentVersionExpiration={"NoncurrentDays": 1})
    cloud.lifecycle(name, theirs, partly, some, off)
    found = of(audit(config(cloud.endpoint, name)), f"s3://{name}")
    assert found["old versions"].verdict is FAIL
    cloud.run(found["old versions"].remedy)
    rules = cloud.s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert {rule["ID"] for rule in rules[:4]} == {"theirs", "in", "some", "off"}
    assert [rule["Filter"] for rule in rules[4:]] == [{"Prefix": "in/"}, {"Prefix": "out/"}]
    assert of(audit(config(cloud.endpoint, name)), f"s3://{name}")["old versions"].verdict is PASS


def test_access_logs_are_looked_at_where_they_go(cloud: Aws) -> None:
    kept = cloud.secured("kept", None)
    cloud.lifecycle(kept, lifecycle_rule("nothing", Filter={"Prefix": "other/"}, Expiration={"Days": 1}))
    name = cloud.secured("photos", kept)
    found = audit(config(cloud.endpoint, name))
    (place,) = [place for place in found.places if place.uri == f"s3://{kept}"]
    assert place.uses == ("access logs",)
    told = of(found, f"s3://{kept}")
    assert {setting for setting, each in told.items() if each.verdict is not PASS} == {
        "old versions", "retention of logs",
    }  # fmt: skip
    assert "access logging" not in told
    cloud.run(told["retention of logs"].remedy)
    told = of(audit(config(cloud.endpoint, name)), f"s3://{kept}")
    assert {each.verdict for each in told.values()} == {PASS}
    rules = cloud.s3.get_bucket_lifecycle_configuration(Bucket=kept)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in rules] == ["other/", f"{name}/"]


@pytest.mark.parametrize(
    ("log_uri", "prefixes"), [(None, ["stage/logs/", "stage/runs/"]), ("s3://{}/mine", ["mine/", "stage/runs/"])]
)
def test_a_clusters_logs_are_in_the_staging_area_unless_said(
    cloud: Aws, secured_photos: str, log_uri: str | None, prefixes: list[str]
) -> None:
    name = cloud.secured("staging", None)
    cloud.lifecycle(name, lifecycle_rule("nothing", Filter={"Prefix": "other/"}, Expiration={"Days": 1}))
    cluster = {"kind": "emr", "log_uri": log_uri and log_uri.format(name)}
    found = of(
        audit(config(cloud.endpoint, secured_photos, cluster, staging_uri=f"s3://{name}/stage/")), f"s3://{name}"
    )
    assert found["retention of logs"].verdict is FAIL
    cloud.run(found["retention of logs"].remedy)
    rules = cloud.s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in rules] == ["other/", *prefixes]


def test_tags_are_told(cloud: Aws, logs: str) -> None:
    name = cloud.secured("tagged", logs)
    tags = [{"Key": "owner", "Value": "a | <b>"}, {"Key": "purpose", "Value": "sorting"}]
    cloud.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    (place, *_) = audit(config(cloud.endpoint, name)).places
    assert place.tags == {"owner": "a | <b>", "purpose": "sorting"}
    assert place.uses == ("input", "output")


def test_keys(cloud: Aws, logs: str) -> None:
    name, kms = cloud.secured("keyed", logs), cloud.client("kms")
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]
    cloud.encrypt(name, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["KeyId"]})

    def look() -> ControlResult:
        services = Services(config(cloud.endpoint, name).storage)
        return encryption_key(Bucket(name, frozenset({("input", "in/")}), PARIS, services))

    assert look() == ControlResult(PASS, f"{key['Arn']} in {PARIS}")
    kms.disable_key(KeyId=key["KeyId"])
    assert look().verdict is FAIL
    cloud.run(look().remedy)
    assert look().verdict is PASS
    kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion="us-east-1")
    assert (look().verdict, look().found) == (FAIL, f"{key['Arn']} is in us-east-1 too, which is not allowed")
    cloud.encrypt(name, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"].replace("mrk-", "mrk-0")})
    with pytest.raises(UnansweredError, match="DescribeKey: NotFoundException"):
        look()


def test_a_store_that_is_not_aws_has_no_keys_to_be_asked(
    cloud: Aws, secured_photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_IAM")
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    found = of(audit(config(cloud.endpoint, secured_photos)), "role of the run")
    assert {each.verdict for each in found.values()} == {UNKNOWN}
    assert "not AWS's" in found["actions"].found


# The cluster's network


def on_cluster(cloud: Aws, *subnets: str) -> dict[str, AuditFinding]:
    services = Services(config(cloud.endpoint, "photos").storage)
    facts = Emr(kind="emr", subnets=subnets).facts()
    return {finding.setting: finding for finding in cluster_controls.find(facts, services)}


@pytest.mark.slow  # moto's EC2 takes seconds to begin
def test_subnets_are_asked_whether_they_give_out_public_addresses(
    cloud: Aws, cloud_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", cloud.endpoint)
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    assert on_cluster(cloud, subnet)["addresses"].verdict is PASS
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    found = on_cluster(cloud, subnet)["addresses"]
    assert (found.verdict, found.found) == (FAIL, f"public ones are assigned in {subnet}")
    assert found.remedy == f"aws ec2 modify-subnet-attribute --subnet-id {subnet} --no-map-public-ip-on-launch"
    assert on_cluster(cloud)["addresses"].verdict is UNKNOWN
    cloud_proxy.rule = lambda _: "denied"
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", cloud_proxy.url)
    assert on_cluster(cloud, subnet)["addresses"].verdict is UNKNOWN


def test_emr_is_asked_whether_it_refuses_open_clusters(cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_cluster(cloud)["connections from outside"].verdict is UNKNOWN
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", cloud.endpoint)
    blocked = {"BlockPublicSecurityGroupRules": True}
    ssh = {"PermittedPublicSecurityGroupRuleRanges": [{"MinRange": 22, "MaxRange": 22}]}
    cloud.client("emr").put_block_public_access_configuration(BlockPublicAccessConfiguration=blocked | ssh)
    found = on_cluster(cloud)["connections from outside"]
    assert (found.verdict, "22-22" in found.found) == (UNKNOWN, True)
    cloud.run(found.remedy)
    assert on_cluster(cloud)["connections from outside"].verdict is PASS
