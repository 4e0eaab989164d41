"""The audit whole: where buckets are, whose role it is, what the command prints and how it ends. moto stands in for AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fruitscale.clusters.audit import audit
from fruitscale.clusters.findings import Audit, Finding, Verdict
from fruitscale.config import Config, from_mapping
from tests.conftest import ROOT, Cli
from tests.s3 import servers
from tests.s3.proxy import Proxy
from tests.s3.secured import PARIS, Aws, lifecycle_rule

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def photos(cloud: Aws, logs: str) -> str:
    return cloud.secured("photos", logs)


def config(endpoint: str, photos: str, cluster: object = None, **storage: Any) -> Config:
    return from_mapping({
        "input": {"uri": f"s3://{photos}/in"},
        "output": {"uri": f"s3://{photos}/out", "paths": "hashed"},
        "storage": {"endpoint": endpoint, "region": PARIS, "encryption": "sse-s3", **storage},
        "cluster": cluster,
    })  # fmt: skip


def of(found: Audit, subject: str) -> dict[str, Finding]:
    return {finding.setting: finding for finding in found.findings if finding.subject == subject}


# Where buckets are


def test_a_bucket_in_another_region_fails_whatever_the_config_says(cloud: Aws) -> None:
    name = cloud.bucket("usa", "us-east-1")
    found = of(audit(config(cloud.endpoint, name)), f"s3://{name}")["region"]
    assert (found.verdict, found.found) == (FAIL, "it is in us-east-1, which is not allowed")
    assert found.mend.startswith(f"aws s3api create-bucket --bucket {name}-{PARIS} --region {PARIS}")


def test_a_bucket_in_an_allowed_region_that_is_not_the_configured_one_fails(cloud: Aws) -> None:
    name = cloud.bucket("dublin", "eu-west-1")
    found = of(audit(config(cloud.endpoint, name)), f"s3://{name}")["region"]
    assert found.verdict is FAIL
    assert found.mend == "--set storage.region=eu-west-1"


def test_of_a_bucket_that_is_not_there_that_alone_is_told(cloud: Aws) -> None:
    found = of(audit(config(cloud.endpoint, "not-there-at-all")), "s3://not-there-at-all")
    assert [(each.setting, each.verdict) for each in found.values()] == [("region", FAIL)]
    cloud.run(found["region"].mend)
    assert of(audit(config(cloud.endpoint, "not-there-at-all")), "s3://not-there-at-all")["region"].verdict is PASS


@pytest.mark.parametrize("fate", ["denied", "regionless"])
def test_a_bucket_that_does_not_say_where_it_is_could_not_be_checked(
    cloud_proxy: Proxy, photos: str, fate: str
) -> None:
    cloud_proxy.rule = lambda seen: fate if seen.method == "HEAD" else None
    found = of(audit(config(cloud_proxy.url, photos)), f"s3://{photos}")
    assert found["region"].verdict is UNKNOWN
    assert {each.verdict for setting, each in found.items() if setting != "region"} == {PASS}


def test_a_store_that_gives_no_answer_is_asked_once_a_bucket(cloud_proxy: Proxy, photos: str) -> None:
    cloud_proxy.down = True
    found = of(audit(config(cloud_proxy.url, photos)), f"s3://{photos}")
    assert {each.verdict for each in found.values()} == {UNKNOWN}
    assert len(found) > 10
    assert {(seen.method, seen.target) for seen in cloud_proxy.seen} == {("HEAD", f"/{photos}")}


def test_a_declared_place_could_not_be_checked(cloud: Aws, photos: str) -> None:
    found = of(audit(config(cloud.endpoint, photos, residency="declared", place="Lyon")), f"s3://{photos}")
    assert (found["region"].verdict, found["region"].found) == (UNKNOWN, "declared, not checked: Lyon")


def test_the_region_of_the_storage_must_be_allowed_too(cloud: Aws, photos: str) -> None:
    found = audit(config(cloud.endpoint, photos, allowed_regions=["eu-north-1"]))
    assert of(found, "config")["region"].verdict is FAIL
    assert of(found, f"s3://{photos}")["region"].verdict is FAIL
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
    cloud.run(found["old versions"].mend)
    rules = servers.client(cloud.endpoint).get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
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
    cloud.run(told["retention of logs"].mend)
    told = of(audit(config(cloud.endpoint, name)), f"s3://{kept}")
    assert {each.verdict for each in told.values()} == {PASS}
    rules = servers.client(cloud.endpoint).get_bucket_lifecycle_configuration(Bucket=kept)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in rules] == ["other/", f"{name}/"]


@pytest.mark.parametrize(
    ("log_uri", "prefixes"), [(None, ["stage/logs/", "stage/runs/"]), ("s3://{}/mine", ["mine/", "stage/runs/"])]
)
def test_a_clusters_logs_are_in_the_staging_area_unless_said(
    cloud: Aws, photos: str, log_uri: str | None, prefixes: list[str]
) -> None:
    name = cloud.secured("staging", None)
    cloud.lifecycle(name, lifecycle_rule("nothing", Filter={"Prefix": "other/"}, Expiration={"Days": 1}))
    cluster = {"kind": "emr", "log_uri": log_uri and log_uri.format(name)}
    found = of(audit(config(cloud.endpoint, photos, cluster, staging_uri=f"s3://{name}/stage/")), f"s3://{name}")
    assert found["retention of logs"].verdict is FAIL
    cloud.run(found["retention of logs"].mend)
    rules = servers.client(cloud.endpoint).get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in rules] == ["other/", *prefixes]


def test_tags_are_told(cloud: Aws, logs: str) -> None:
    name = cloud.secured("tagged", logs)
    tags = [{"Key": "owner", "Value": "a | <b>"}, {"Key": "purpose", "Value": "sorting"}]
    servers.client(cloud.endpoint).put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    (place, *_) = audit(config(cloud.endpoint, name)).places
    assert place.tags == {"owner": "a | <b>", "purpose": "sorting"}
    assert place.uses == ("input", "output")


def test_keys(cloud: Aws, logs: str) -> None:
    name, kms = cloud.secured("keyed", logs), cloud.client("kms")
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]
    cloud.encrypt(name, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["KeyId"]})

    def look() -> Finding:
        return of(audit(config(cloud.endpoint, name)), f"s3://{name}")["encryption key"]

    assert (look().verdict, look().found) == (PASS, f"{key['Arn']} in {PARIS}")
    kms.disable_key(KeyId=key["KeyId"])
    assert look().verdict is FAIL
    cloud.run(look().mend)
    assert look().verdict is PASS
    kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion="us-east-1")
    assert (look().verdict, look().found) == (FAIL, f"{key['Arn']} is in us-east-1 too, which is not allowed")
    cloud.encrypt(name, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"].replace("mrk-", "mrk-0")})
    assert (look().verdict, look().found[:27]) == (UNKNOWN, "DescribeKey: NotFoundExcept")


def test_a_store_that_is_not_aws_has_no_keys_to_be_asked(
    cloud: Aws, photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_IAM")
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    found = of(audit(config(cloud.endpoint, photos)), "role of the run")
    assert {each.verdict for each in found.values()} == {UNKNOWN}
    assert "not AWS's" in found["actions"].found


# The cluster's network


def on_cluster(cloud: Aws, photos: str, **cluster: Any) -> dict[str, Finding]:
    return of(audit(config(cloud.endpoint, photos, {"kind": "emr", **cluster})), "cluster (emr)")


def test_subnets_are_asked_whether_they_give_out_public_addresses(
    cloud: Aws, photos: str, cloud_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", cloud.endpoint)
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    assert on_cluster(cloud, photos, subnets=[subnet])["addresses"].verdict is PASS
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    found = on_cluster(cloud, photos, subnets=[subnet])["addresses"]
    assert (found.verdict, found.found) == (FAIL, f"machines get public ones in {subnet}")
    assert found.mend == f"aws ec2 modify-subnet-attribute --subnet-id {subnet} --no-map-public-ip-on-launch"
    assert on_cluster(cloud, photos)["addresses"].verdict is UNKNOWN
    cloud_proxy.rule = lambda _: "denied"
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", cloud_proxy.url)
    assert on_cluster(cloud, photos, subnets=[subnet])["addresses"].verdict is UNKNOWN


def test_emr_is_asked_whether_it_refuses_open_clusters(
    cloud: Aws, photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_cluster(cloud, photos)["connections from outside"].verdict is UNKNOWN
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", cloud.endpoint)
    emr, ssh = cloud.client("emr"), {"MinRange": 22, "MaxRange": 22}

    def block(on: bool, *ranges: dict[str, int]) -> Finding:
        whole = {"BlockPublicSecurityGroupRules": on, "PermittedPublicSecurityGroupRuleRanges": list(ranges)}
        emr.put_block_public_access_configuration(BlockPublicAccessConfiguration=whole)
        return on_cluster(cloud, photos)["connections from outside"]

    assert block(True).verdict is PASS
    assert block(True, ssh).verdict is UNKNOWN
    found = block(False)
    assert found.verdict is FAIL
    cloud.run(found.mend)
    assert on_cluster(cloud, photos)["connections from outside"].verdict is PASS


# The role of the run


def worker(photos: str) -> dict[str, Any]:
    text = (ROOT / "configs" / "iam" / "worker.json").read_text()
    for place in ("INPUT", "OUTPUT", "STAGING", "LOG"):
        text = text.replace(f"{place}_BUCKET", photos)
    found: dict[str, Any] = json.loads(text)
    return found


def judged(cloud: Aws, photos: str, **cluster: Any) -> dict[str, dict[str, Finding]]:
    found = audit(config(cloud.endpoint, photos, {"kind": "emr", **cluster})).findings
    subjects = dict.fromkeys(f.subject for f in found if f.subject.startswith("role"))
    return {name: {f.setting: f for f in found if f.subject == name} for name in subjects}


def test_the_policy_that_is_shipped_passes(cloud: Aws, photos: str) -> None:
    name = cloud.role(worker(photos))
    assert {each.verdict for each in judged(cloud, photos, roles=[name])[f"role {name}"].values()} == {PASS}
    elsewhere = judged(cloud, "another-bucket", roles=[name])[f"role {name}"]
    assert elsewhere["resources"].verdict is FAIL


def test_a_role_that_may_do_everything_fails(cloud: Aws, photos: str) -> None:
    name = cloud.role(worker(photos), EVERYTHING)
    found = judged(cloud, photos, roles=[f"arn:aws:iam::123456789012:role/path/{name}"])[f"role {name}"]
    assert {each.verdict for each in found.values()} == {FAIL}
    assert found["actions"].found == "* (policy-1)"
    assert found["actions"].mend == (
        f"aws iam put-role-policy --role-name {name} --policy-name policy-1 "
        "--policy-document file://configs/iam/worker.json"
    )


def test_an_attached_policy_and_a_profile_are_seen(cloud: Aws, photos: str) -> None:
    name, iam = cloud.role(), cloud.client("iam")
    document = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{photos}/*"}]}
    arn = iam.create_policy(PolicyName=f"p-{name}", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    iam.create_instance_profile(InstanceProfileName=f"profile-{name}")
    iam.add_role_to_instance_profile(InstanceProfileName=f"profile-{name}", RoleName=name)
    found = judged(cloud, photos, instance_profiles=[f"profile-{name}"])[f"role {name}"]
    assert (found["actions"].verdict, found["resources"].verdict) == (FAIL, PASS)
    assert found["actions"].found == f"s3:* (p-{name})"
    assert found["actions"].mend.endswith(f"&& aws iam detach-role-policy --role-name {name} --policy-arn {arn}")
    cloud.run(found["actions"].mend.split(" && ")[1])
    assert judged(cloud, photos, roles=[name])[f"role {name}"]["actions"].verdict is PASS


def test_what_a_condition_may_narrow_could_not_be_checked(cloud: Aws, photos: str) -> None:
    condition = {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
    name = cloud.role(
        {"Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*", "Condition": condition}]}
    )
    found = judged(cloud, photos, roles=[name])[f"role {name}"]
    assert (found["actions"].verdict, found["resources"].verdict) == (PASS, UNKNOWN)


@pytest.mark.parametrize(
    "cluster", [{}, {"roles": ["nobody"]}, {"instance_profiles": ["nothing"]}], ids=["none", "role", "profile"]
)
def test_a_role_that_is_not_there_could_not_be_checked(cloud: Aws, photos: str, cluster: dict[str, Any]) -> None:
    found = [each for role in judged(cloud, photos, **cluster).values() for each in role.values()]
    assert found
    assert {each.verdict for each in found} == {UNKNOWN}


def test_policies_that_may_not_be_read_could_not_be_checked(
    cloud: Aws, photos: str, cloud_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = cloud.role(EVERYTHING)
    cloud_proxy.rule = lambda _: "denied"
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", cloud_proxy.url)
    found = judged(cloud, photos, roles=[name])[f"role {name}"]
    assert {each.verdict for each in found.values()} == {UNKNOWN}
    assert "configs/iam/auditor.json" in found["actions"].found


# The command


@pytest.fixture(scope="module")
def caller(cloud: Aws, photos: str) -> dict[str, str]:
    """A user with the policy that is shipped, as the environment of a command has it."""
    iam = cloud.client("iam")
    iam.create_user(UserName="runner")
    iam.put_user_policy(UserName="runner", PolicyName="mine", PolicyDocument=json.dumps(worker(photos)))
    iam.create_group(GroupName="everybody")
    iam.add_user_to_group(UserName="runner", GroupName="everybody")
    key = iam.create_access_key(UserName="runner")["AccessKey"]
    services = {f"AWS_ENDPOINT_URL_{service}": cloud.endpoint for service in ("IAM", "KMS", "STS")}
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"], **services}


def arguments(settings: Config) -> list[str]:
    values = {
        "input.uri": settings.input.uri, "output.uri": settings.output.uri, "output.paths": settings.output.paths,
        "storage.endpoint": settings.storage.endpoint, "storage.region": PARIS, "storage.encryption": "sse-s3",
    }  # fmt: skip
    return ["gdpr", "audit", *(part for key, value in values.items() for part in ("--set", f"{key}={value}"))]


def test_what_passes_ends_with_0_and_json_is_alone(
    s3_cli: Cli, cloud: Aws, photos: str, caller: dict[str, str]
) -> None:
    ran = s3_cli(*arguments(config(cloud.endpoint, photos)), "--json", "--strict", timeout=300, **caller)
    assert ran.code == 0, ran.out
    assert not ran.err
    told = json.loads(ran.out)
    assert not told["failed"]
    assert told["counts"] == {"pass": len(told["findings"]), "fail": 0, "could not be checked": 0}
    subjects = {finding["subject"] for finding in told["findings"]}
    assert {"user runner", "group everybody", "config", f"s3://{photos}"} < subjects


def test_what_fails_ends_with_1_and_the_commands_can_be_copied(
    s3_cli: Cli, cloud: Aws, logs: str, caller: dict[str, str]
) -> None:
    name = cloud.secured("open", logs)
    cloud.block(name)
    cloud.lifecycle(name, lifecycle_rule("nothing", Expiration={"Days": 1}))
    ran = s3_cli(*arguments(config(cloud.endpoint, name)), timeout=300, **caller)
    assert ran.code == 1
    commands = [line for line in ran.out.splitlines() if line.startswith("aws s3api put-")]
    assert [line.split()[2] for line in commands] == [
        "put-public-access-block", "put-bucket-lifecycle-configuration",
    ]  # fmt: skip
    for line in commands:
        cloud.run(line)
    ran = s3_cli(*arguments(config(cloud.endpoint, name)), "--markdown", timeout=300, **caller)
    assert "| Result | nothing fails |" in ran.out
    assert "No legal advice" not in ran.out
    assert "no legal advice" in ran.out


def test_what_could_not_be_checked_is_told_and_strict_ends_with_1(s3_cli: Cli, cloud: Aws, photos: str) -> None:
    ran = s3_cli(*arguments(config(cloud.endpoint, photos)), "--json")
    assert ran.code == 0, ran.out
    assert "2 settings could not be checked: that is no pass." in ran.err
    assert json.loads(ran.out)["counts"]["could not be checked"] == 2
    assert s3_cli(*arguments(config(cloud.endpoint, photos)), "--strict").code == 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "output.uri="], "output.uri is not set."),
        (["--set", "input.uri=''"], "input.uri is not set."),
        (["--markdown", "--json"], "can't both be printed"),
        (["--set", "input.uri=s3://A_B/x"], "is not the name of a bucket"),
    ],
)
def test_wrong_use_ends_with_2(s3_cli: Cli, cloud: Aws, photos: str, more: list[str], told: str) -> None:
    ran = s3_cli(*arguments(config(cloud.endpoint, photos)), *more)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_folders_could_not_be_checked_and_nothing_is_asked(s3_cli: Cli) -> None:
    ran = s3_cli("gdpr", "audit", "--set", "input.uri=/photos", "--set", "output.uri=/results", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert {(each["subject"], each["verdict"]) for each in told["findings"]} == {
        ("/photos", "could not be checked"), ("/results", "could not be checked"), ("config", "could not be checked"),
    }  # fmt: skip
