"""Each control of a bucket: one that passes, one that fails, one that can't be looked at; and the remedy.

moto stands in for AWS, and a proxy before it denies what it never does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config, Storage
from fruitscale.gdpr.audit import CONTROLS, audit
from fruitscale.gdpr.buckets import Bucket
from fruitscale.gdpr.findings import Audit, AuditFinding, AuditVerdict
from fruitscale.gdpr.services import Services
from tests.s3.proxy import Proxy
from tests.s3.secured import PARIS, Aws, lifecycle_rule

PASS, FAIL, UNKNOWN = AuditVerdict.PASS, AuditVerdict.FAIL, AuditVerdict.UNKNOWN


class Case(NamedTuple):
    """How a control is made to fail, and the query of the request without whose answer it can't be checked."""

    spoil: Callable[[Aws, str], object]
    query: str
    told: str
    also: frozenset[str] = frozenset()
    """Controls that fail with it."""


def no_encryption(cloud: Aws, bucket: str) -> None:
    cloud.s3.delete_bucket_encryption(Bucket=bucket)


def foreign_key(cloud: Aws, bucket: str) -> None:
    arn = cloud.client("kms", "us-east-1").create_key()["KeyMetadata"]["Arn"]
    cloud.encrypt(bucket, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn})


def old_policy(cloud: Aws, bucket: str) -> None:
    """Deny without TLS, but only the reading of objects."""
    s3 = cloud.s3
    document = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    document["Statement"][0]["Action"] = "s3:GetObject"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))


def let_in(principal: object, **more: Any) -> Callable[[Aws, str], object]:
    """Let somebody read, besides what the policy has."""

    def spoil(cloud: Aws, bucket: str) -> None:
        s3 = cloud.s3
        document = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        reading = {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", **more}
        document["Statement"].append(reading | {"Resource": f"arn:aws:s3:::{bucket}/*"})
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))

    return spoil


def keeps_versions_too_long(cloud: Aws, bucket: str) -> None:
    old = {"NoncurrentDays": 31}
    cloud.lifecycle(
        bucket, lifecycle_rule("mine", NoncurrentVersionExpiration=old, Expiration={"ExpiredObjectDeleteMarker": True})
    )


def keeps_markers(cloud: Aws, bucket: str) -> None:
    cloud.lifecycle(bucket, lifecycle_rule("mine", NoncurrentVersionExpiration={"NoncurrentDays": 7}))


def keeps_logs(cloud: Aws, bucket: str) -> None:
    ends = lifecycle_rule("mine", NoncurrentVersionExpiration={"NoncurrentDays": 7})
    cloud.lifecycle(bucket, ends, lifecycle_rule("short", Filter={"Prefix": "other/"}, Expiration={"Days": 1}))


def lock(cloud: Aws, bucket: str) -> None:
    retention = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 365}}
    cloud.s3.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
    )


CASES = {
    "public access": Case(
        lambda cloud, b: cloud.block(b, "BlockPublicAcls", "IgnorePublicAcls"), "publicAccessBlock",
        "not on: BlockPublicPolicy, RestrictPublicBuckets",
    ),
    "object ACLs": Case(
        lambda cloud, b: cloud.s3.put_bucket_ownership_controls(
            Bucket=b, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        ),
        "ownershipControls", "ObjectWriter",
    ),
    "default encryption": Case(
        no_encryption, "encryption", "no default encryption", frozenset({"encryption key"}),
    ),
    "encryption key": Case(
        foreign_key, "encryption", "is in us-east-1, which is not allowed",
    ),
    "outside access": Case(
        let_in("*"), "policy", "the bucket's policy grants access to: *",
    ),
    "TLS only": Case(
        old_policy, "policy", "allows requests without TLS",
    ),
    "access logging": Case(
        lambda cloud, b: cloud.s3.put_bucket_logging(Bucket=b, BucketLoggingStatus={}), "logging",
        "access logging is off",
    ),
    "replication": Case(
        lambda cloud, b: cloud.replicate(b, cloud.bucket("copy", "us-east-1")), "replication", "in us-east-1",
    ),
    "old versions": Case(
        keeps_versions_too_long, "lifecycle", "can be restored",
    ),
    "delete markers": Case(keeps_markers, "versioning", "names"),
    "object lock": Case(lock, "object-lock", "locked for 365 days (compliance)"),
    "retention of logs": Case(keeps_logs, "lifecycle", "no rule expires the logs"),
}  # fmt: skip
"""In the order of the controls."""


@pytest.fixture(scope="module")
def kept(cloud: Aws, logs: str) -> tuple[str, str]:
    """Two buckets as they should be, which nobody changes."""
    return cloud.secured("photos", logs), cloud.secured("results", logs)


@pytest.fixture(scope="module")
def good(cloud: Aws, kept: tuple[str, str], logs: str) -> Audit:
    return audit(config(cloud.endpoint, *kept, logs))


def config(endpoint: str, photos: str, results: str, logs: str, **storage: Any) -> Config:
    return from_mapping({
        "input": {"uri": f"s3://{photos}/in"},
        "output": {"uri": f"s3://{results}/out", "paths": "hashed"},
        "storage": {"endpoint": endpoint, "region": PARIS, "encryption": "sse-s3", **storage},
        "cluster": {"kind": "emr", "log_uri": f"s3://{logs}"},
    })  # fmt: skip


def verdicts(findings: dict[str, AuditFinding], *but: str) -> set[AuditVerdict]:
    return {finding.verdict for setting, finding in findings.items() if setting not in but}


def test_every_control_has_a_case() -> None:
    assert list(CASES) == [control.setting for control in CONTROLS]


@pytest.mark.parametrize("setting", CASES)
def test_what_is_as_it_should_be_passes(good: Audit, setting: str) -> None:
    found = [finding for finding in good.findings if finding.setting == setting]
    assert {finding.verdict for finding in found} == {PASS}, found
    assert all(finding.basis and not finding.remedy for finding in found)


def look(endpoint: str, name: str, logs: str | None, *settings: str) -> dict[str, AuditFinding]:
    """Look at one bucket with every control, or some; without `logs` it is one for logs itself."""
    services = Services(Storage(region=PARIS, endpoint=endpoint))
    places = {("logs", "")} if logs is None else {("input", "in/"), ("output", "out/")}
    bucket = Bucket(name, frozenset(places), PARIS, services, logs)
    chosen = [each for each in CONTROLS if each.applies(bucket) and (not settings or each.setting in settings)]
    return {control.setting: control.find(bucket) for control in chosen}


@pytest.mark.parametrize("setting", CASES)
def test_what_is_not_fails_alone_and_its_command_fixes_it(cloud: Aws, logs: str, setting: str) -> None:
    case, into = CASES[setting], None if setting == "retention of logs" else logs
    name = cloud.secured("spoilt", into)
    case.spoil(cloud, name)
    found = look(cloud.endpoint, name, into)
    assert found[setting].verdict is FAIL
    assert case.told in found[setting].found
    assert verdicts(found, setting, *case.also) == {PASS}, found
    cloud.run(found[setting].remedy)
    remedied = look(cloud.endpoint, name, into, setting, *case.also)
    assert verdicts(remedied) == {PASS}, remedied


@pytest.mark.parametrize("setting", CASES)
def test_what_is_denied_could_not_be_checked(
    kept: tuple[str, str], logs: str, cloud_proxy: Proxy, setting: str
) -> None:
    case, other = CASES[setting], "object lock" if setting == "public access" else "public access"
    bucket, into = (logs, None) if setting == "retention of logs" else (kept[0], logs)
    cloud_proxy.rule = lambda seen: "denied" if f"?{case.query}" in seen.target else None
    found = look(cloud_proxy.url, bucket, into, setting, other)
    assert found[setting].verdict is UNKNOWN
    assert "access is denied to Get" in found[setting].found
    assert "s3:Get" in found[setting].found
    assert found[setting].remedy.startswith("aws s3api get-")
    assert verdicts(found, setting) == {PASS}, found


OTHER = "arn:aws:iam::999999999999:root"
BUT = {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}


@pytest.mark.parametrize(
    ("principal", "more", "verdict"),
    [
        pytest.param({"AWS": "*"}, {}, FAIL, id="everybody"),
        pytest.param("*", BUT, UNKNOWN, id="everybody-but"),
        pytest.param({"AWS": [OTHER, "123456789012"]}, {}, UNKNOWN, id="another-account"),
        pytest.param({"AWS": "999999999999"}, {}, UNKNOWN, id="another-account-by-number"),
        pytest.param({"AWS": "arn:aws:iam::123456789012:role/mine"}, {}, PASS, id="own-role"),
        pytest.param({"Service": "logging.s3.amazonaws.com"}, {}, PASS, id="service"),
    ],
)
def test_who_else_is_let_in(
    cloud: Aws, logs: str, principal: object, more: dict[str, Any], verdict: AuditVerdict
) -> None:
    photos = cloud.secured("shared", logs)
    let_in(principal, **more)(cloud, photos)
    found = look(cloud.endpoint, photos, logs, "outside access", "TLS only")
    assert found["outside access"].verdict is verdict, found["outside access"]
    assert verdicts(found, "outside access") == {PASS}
    if verdict is not PASS:
        cloud.run(found["outside access"].remedy)
        assert verdicts(look(cloud.endpoint, photos, logs, "outside access", "TLS only")) == {PASS}
