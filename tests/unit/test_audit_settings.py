"""What the config and the cluster's settings say for themselves: no server is needed to judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Storage
from fruitscale.gdpr import cluster_controls, config_controls
from fruitscale.gdpr.cluster_controls import ClusterFacts, facts_of
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
        ("encryption asked for", {}, UNKNOWN),
        ("encryption asked for", {"encryption": "sse-s3"}, PASS),
        ("encryption asked for", {"encryption": "sse-kms"}, PASS),
        ("encryption asked for", {"encryption": "sse-kms", "kms_key": KEY, "endpoint": "http://127.0.0.1:1"}, UNKNOWN),
    ],
)
def test_storage(setting: str, storage: dict[str, Any], verdict: AuditVerdict) -> None:
    found = find(storage)[setting]
    assert found.verdict is verdict
    assert found.articles
    assert bool(found.mend) is (verdict is not PASS) or "KMS" in found.found


@pytest.mark.parametrize(("paths", "verdict"), [("hashed", PASS), ("plain", UNKNOWN)])
def test_names_of_photos(paths: str, verdict: AuditVerdict) -> None:
    assert find({}, paths=paths)["names of photos"].verdict is verdict


def test_without_s3_there_is_only_what_is_written() -> None:
    assert [finding.setting for finding in config_controls.find(from_mapping({}), None)] == ["names of photos"]


GOOD: dict[str, Any] = {
    "kind": "emr", "region": "eu-west-3", "disks_encrypted": True, "transit_encrypted": True,
    "public_addresses": False, "inbound": False, "imdsv2": True, "max_hours": 8,
}  # fmt: skip
BAD: dict[str, Any] = {
    "region": "us-east-1", "disks_encrypted": False, "transit_encrypted": False, "public_addresses": True,
    "inbound": True, "imdsv2": False, "max_hours": 1000,
}  # fmt: skip
SETTINGS = {
    "region": "region", "disks_encrypted": "disks", "transit_encrypted": "between machines",
    "public_addresses": "addresses", "inbound": "connections from outside", "imdsv2": "instance metadata",
    "max_hours": "lifetime",
}  # fmt: skip


def judge(**told: Any) -> dict[str, AuditFinding]:
    return {
        finding.setting: finding
        for finding in cluster_controls.find(ClusterFacts(**told), Services(Storage(endpoint="http://127.0.0.1:1")))
    }


def test_a_good_cluster_passes() -> None:
    assert {finding.verdict for finding in judge(**GOOD).values()} == {PASS}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_setting_fails_alone(name: str) -> None:
    found = judge(**GOOD | {name: BAD[name]})
    assert [setting for setting, each in found.items() if each.verdict is not PASS] == [SETTINGS[name]]
    assert found[SETTINGS[name]].verdict is FAIL


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_not_said_could_not_be_checked(name: str) -> None:
    found = judge(**GOOD | {name: None})
    assert found[SETTINGS[name]].verdict is UNKNOWN


@pytest.mark.parametrize("hours", [0, -1, "8", True, float("nan"), 169])
def test_a_lifetime_is_a_number_of_hours_up_to_a_week(hours: object) -> None:
    assert judge(**GOOD | {"max_hours": hours})["lifetime"].verdict is FAIL


def test_the_storages_region_is_the_clusters_where_it_says_none() -> None:
    (first, *_) = cluster_controls.find(ClusterFacts(), Services(Storage(region="eu-west-3")))
    assert first.verdict is PASS


@dataclass
class Settings:
    """Settings of a cluster as another module may have them."""

    kind: str = "ec2-dask"
    disks: bool = True


class Knowing(Settings):
    """The same, with an account of themselves."""

    def audit_facts(self) -> ClusterFacts:
        return ClusterFacts(kind=self.kind, disks_encrypted=self.disks)


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (None, None),
        (
            {"kind": "emr", "roles": ["a"], "max_hours": 2, "other": 1},
            ClusterFacts(kind="emr", roles=("a",), max_hours=2),
        ),
        ({"roles": "a", "instance_profiles": None}, ClusterFacts(roles=("a",))),
        ({}, ClusterFacts()),
        (Settings(), ClusterFacts(kind="ec2-dask")),
        (Knowing(), ClusterFacts(kind="ec2-dask", disks_encrypted=True)),
    ],
)
def test_what_a_cluster_tells(cluster: object, expected: ClusterFacts | None) -> None:
    assert facts_of(cluster) == expected


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
    answer = cluster_controls.judge_block(block)
    assert (answer and answer.verdict) is verdict
