"""What the role of a run may do, by its policies. moto stands in for AWS."""

from __future__ import annotations

import json

import pytest

from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.findings import AuditFinding, AuditVerdict
from tests.s3.proxy import Proxy
from tests.s3.secured import Aws, config, policy, worker

PASS, FAIL, UNKNOWN = AuditVerdict.PASS, AuditVerdict.FAIL, AuditVerdict.UNKNOWN


def judged(
    cloud: Aws, photos: str, role: str | None = None, profile: str = "none"
) -> dict[str, dict[str, AuditFinding]]:
    """Judge a role of EMR Serverless, which is named, or one of EMR, which is in an instance profile."""
    if role is None:
        cluster = {"kind": "emr", "instance_profile": profile}
    else:
        cluster = {"kind": "emr-serverless", "execution_role": role}
    found = audit(config(cloud.endpoint, photos, cluster)).findings
    subjects = dict.fromkeys(f.subject for f in found if f.subject.startswith("role"))
    return {name: {f.setting: f for f in found if f.subject == name} for name in subjects}


def test_the_policy_that_is_shipped_passes(cloud: Aws, secured_photos: str) -> None:
    name = cloud.role(worker(secured_photos))
    assert {each.verdict for each in judged(cloud, secured_photos, name)[f"role {name}"].values()} == {PASS}
    elsewhere = judged(cloud, "another-bucket", name)[f"role {name}"]
    assert elsewhere["resources"].verdict is FAIL


def test_a_role_that_may_do_everything_fails(cloud: Aws, secured_photos: str) -> None:
    name = cloud.role(worker(secured_photos), policy(Action="*", Resource="*"))
    found = judged(cloud, secured_photos, f"arn:aws:iam::123456789012:role/path/{name}")[f"role {name}"]
    assert {each.verdict for each in found.values()} == {FAIL}
    assert found["actions"].found == "* (policy-1)"
    assert found["actions"].remedy == (
        f"aws iam put-role-policy --role-name {name} --policy-name policy-1 "
        "--policy-document file://configs/iam/worker.json"
    )


def test_an_attached_policy_and_a_profile_are_seen(cloud: Aws, secured_photos: str) -> None:
    name, iam = cloud.role(), cloud.client("iam")
    document = policy(Action="s3:*", Resource=f"arn:aws:s3:::{secured_photos}/*")
    arn = iam.create_policy(PolicyName=f"p-{name}", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    iam.create_instance_profile(InstanceProfileName=f"profile-{name}")
    iam.add_role_to_instance_profile(InstanceProfileName=f"profile-{name}", RoleName=name)
    found = judged(cloud, secured_photos, profile=f"profile-{name}")[f"role {name}"]
    assert (found["actions"].verdict, found["resources"].verdict) == (FAIL, PASS)
    assert found["actions"].found == f"s3:* (p-{name})"
    assert found["actions"].remedy.endswith(f"&& aws iam detach-role-policy --role-name {name} --policy-arn {arn}")
    cloud.run(found["actions"].remedy.split(" && ")[1])
    assert judged(cloud, secured_photos, name)[f"role {name}"]["actions"].verdict is PASS


def test_what_a_condition_may_narrow_could_not_be_checked(cloud: Aws, secured_photos: str) -> None:
    condition = {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
    name = cloud.role(policy(Action="s3:Get*", Resource="*", Condition=condition))
    found = judged(cloud, secured_photos, name)[f"role {name}"]
    assert (found["actions"].verdict, found["resources"].verdict) == (PASS, UNKNOWN)


@pytest.mark.parametrize(
    "named", [{"role": ""}, {"role": "nobody"}, {"profile": "nothing"}], ids=["none", "role", "profile"]
)
def test_a_role_that_is_not_there_could_not_be_checked(cloud: Aws, secured_photos: str, named: dict[str, str]) -> None:
    found = [each for role in judged(cloud, secured_photos, **named).values() for each in role.values()]
    assert found
    assert {each.verdict for each in found} == {UNKNOWN}


def test_policies_that_may_not_be_read_could_not_be_checked(
    cloud: Aws, secured_photos: str, cloud_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = cloud.role(policy(Action="*", Resource="*"))
    cloud_proxy.rule = lambda _: "denied"
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", cloud_proxy.url)
    found = judged(cloud, secured_photos, name)[f"role {name}"]
    assert {each.verdict for each in found.values()} == {UNKNOWN}
    assert "configs/iam/auditor.json" in found["actions"].found
