"""Controls on the config and the cluster section that need no server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from fruitscale.config.cluster_section import ClusterFacts
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Storage
from fruitscale.gdpr import cluster_controls, config_controls
from fruitscale.gdpr.findings import AuditFinding, AuditVerdict
from fruitscale.gdpr.services import Services

PASS, FAIL, UNKNOWN = AuditVerdict.PASS, AuditVerdict.FAIL, AuditVerdict.UNKNOWN
KEY = "arn:aws:kms:eu-west-3:123456789012:key/00000000-1111-2222-3333-444444444444"


def find(storage: dict[str, Any], **output: Any) -> dict[str, AuditFinding]:
    config = from_mapping({"storage": {"region": "eu-west-3", **storage}, "output": output})
    return {finding.setting: finding for finding in config_controls.find(config, Services(config.storage))}


@pytest.mark.parametrize(
    ("setting", "storage", "verdict"),
    [
        ("region", {}, PASS),
        ("region", {"region": "us-east-1"}, FAIL),
        ("region", {"region": "eu-west-2"}, FAIL),
        ("region", {"allowed_regions": ["eu-west-1"]}, FAIL),
        ("allowed regions", {}, PASS),
        ("allowed regions", {"allowed_regions": ["eu-west-3", "eu-west-2"]}, UNKNOWN),
        ("residency", {}, PASS),
        ("residency", {"residency": "declared", "place": "Lyon"}, UNKNOWN),
        ("endpoint", {}, PASS),
        ("endpoint", {"endpoint": "https://minio.example"}, PASS),
        ("endpoint", {"endpoint": "http://127.0.0.1:9000"}, PASS),
        ("endpoint", {"endpoint": "http://[::1]:9000"}, PASS),
        ("endpoint", {"endpoint": "http://minio.example"}, FAIL),
        ("endpoint", {"endpoint": "http://localhost.example"}, FAIL),
        ("requested encryption", {}, UNKNOWN),
        ("requested encryption", {"encryption": "sse-s3"}, PASS),
        ("requested encryption", {"encryption": "sse-kms"}, PASS),
        ("requested encryption", {"encryption": "sse-kms", "kms_key": KEY, "endpoint": "http://127.0.0.1:1"}, UNKNOWN),
    ],
)
def test_storage(setting: str, storage: dict[str, Any], verdict: AuditVerdict) -> None:
    found = find(storage)[setting]
    assert found.verdict is verdict
    assert found.articles
    assert bool(found.remedy) is (verdict is not PASS) or "KMS" in found.found


@pytest.mark.parametrize(("paths", "verdict"), [("hashed", PASS), ("plain", UNKNOWN)])
def test_names_of_photos(paths: str, verdict: AuditVerdict) -> None:
    assert find({}, paths=paths)["names of photos"].verdict is verdict


def test_without_s3_there_is_only_what_is_written() -> None:
    assert [finding.setting for finding in config_controls.find(from_mapping({}), None)] == ["names of photos"]


GOOD = ClusterFacts(
    kind="emr", log_uri=None, roles=(), instance_profiles=(), subnets=(), disks_encrypted=True, transit_encrypted=True,
    public_addresses=False, inbound=False, imdsv2=True, max_hours=8,
)  # fmt: skip
FAILING: dict[str, tuple[str, Any]] = {
    "disks": ("disks_encrypted", False),
    "between machines": ("transit_encrypted", False),
    "addresses": ("public_addresses", True),
    "connections from outside": ("inbound", True),
    "instance metadata": ("imdsv2", False),
    "lifetime": ("max_hours", 1000),
}


def check(facts: ClusterFacts, region: str | None = "eu-west-3") -> dict[str, AuditFinding]:
    services = Services(Storage(region=region, endpoint="http://127.0.0.1:1"))
    return {finding.setting: finding for finding in cluster_controls.find(facts, services)}


def test_a_good_cluster_passes() -> None:
    found = check(GOOD)
    assert set(found) == {"region", *FAILING}
    assert {finding.verdict for finding in found.values()} == {PASS}


@pytest.mark.parametrize("setting", FAILING)
def test_a_bad_setting_fails_alone(setting: str) -> None:
    name, value = FAILING[setting]
    found = check(replace(GOOD, **{name: value}))
    assert {each: finding.verdict for each, finding in found.items() if finding.verdict is not PASS} == {setting: FAIL}


@pytest.mark.parametrize("setting", [each for each in FAILING if each != "lifetime"])
def test_an_undetermined_fact_could_not_be_checked(setting: str) -> None:
    unknown: dict[str, Any] = {FAILING[setting][0]: None}
    assert check(replace(GOOD, **unknown))[setting].verdict is UNKNOWN


@pytest.mark.parametrize("hours", [0, -1, float("nan"), 169])
def test_a_lifetime_is_a_number_of_hours_up_to_a_week(hours: float) -> None:
    assert check(replace(GOOD, max_hours=hours))["lifetime"].verdict is FAIL


@pytest.mark.parametrize(("region", "verdict"), [("eu-west-3", PASS), ("us-east-1", FAIL), (None, UNKNOWN)])
def test_the_clusters_region_is_the_storages(region: str | None, verdict: AuditVerdict) -> None:
    assert check(GOOD, region)["region"].verdict is verdict


ALL_PASS = dict.fromkeys(("region", *FAILING), PASS)
NETWORK = {"addresses": UNKNOWN, "connections from outside": UNKNOWN}
OWN_SECURITY = dict.fromkeys(("disks", "between machines", "instance metadata"), UNKNOWN)


@pytest.mark.parametrize(
    ("section", "others"),
    [
        ("kind: emr", NETWORK | {"disks": UNKNOWN}),  # the account may encrypt all new ones
        ("{kind: emr, disk_key: 'arn:aws:kms:eu-west-3:123456789012:key/1'}", NETWORK),
        ("{kind: emr, security_configuration: ours}", NETWORK | OWN_SECURITY),
        ("kind: emr-serverless", {"between machines": UNKNOWN, "instance metadata": UNKNOWN}),
        ("kind: ec2-dask", {}),
        ("{kind: ec2-dask, security_group: sg-1}", {"connections from outside": UNKNOWN}),
    ],
)
def test_from_a_config_file_to_the_verdict_of_every_cluster_control(
    section: str, others: dict[str, AuditVerdict]
) -> None:
    config = from_mapping({"cluster": yaml.safe_load(section)})
    assert config.cluster is not None
    found = check(config.cluster.facts())
    assert {setting: finding.verdict for setting, finding in found.items()} == ALL_PASS | others


@pytest.mark.parametrize(
    ("section", "roles", "profiles"),
    [
        ({"kind": "emr", "instance_profile": "mine"}, (), ("mine",)),
        ({"kind": "emr-serverless", "execution_role": "arn:aws:iam::1:role/mine"}, ("arn:aws:iam::1:role/mine",), ()),
        ({"kind": "emr-serverless"}, (), ()),
        ({"kind": "ec2-dask", "instance_profile": "mine"}, (), ("mine",)),
    ],
)
def test_the_facts_carry_what_the_other_controls_read(
    section: dict[str, Any], roles: tuple[str, ...], profiles: tuple[str, ...]
) -> None:
    common = {"subnets": ["subnet-1"], "log_uri": "s3://logs/x", "max_hours": 3}
    config = from_mapping({"cluster": section | common})
    assert config.cluster is not None
    facts = config.cluster.facts()
    assert (facts.kind, facts.roles, facts.instance_profiles) == (section["kind"], roles, profiles)
    assert (facts.subnets, facts.log_uri, facts.max_hours) == (("subnet-1",), "s3://logs/x", 3)


@pytest.mark.parametrize(
    ("block", "verdict"),
    [
        ({"BlockPublicSecurityGroupRules": True}, PASS),
        ({"BlockPublicSecurityGroupRules": True, "PermittedPublicSecurityGroupRuleRanges": []}, PASS),
        (
            {"BlockPublicSecurityGroupRules": True, "PermittedPublicSecurityGroupRuleRanges": [{"MinRange": 22}]},
            UNKNOWN,
        ),
        ({"BlockPublicSecurityGroupRules": False}, FAIL),
        ({}, None),
    ],
)
def test_emrs_block_of_public_access(block: dict[str, Any], verdict: AuditVerdict | None) -> None:
    answer = cluster_controls.check_block(block)
    assert (answer and answer.verdict) is verdict
