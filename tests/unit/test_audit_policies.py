"""What is read out of policies: what counts as TLS only, and what a role may do too much."""

from __future__ import annotations

from typing import Any

import pytest

from fruitscale.gdpr.iam_policies import Policy, foreign_resources, requires_tls, wildcard_actions, with_tls

BOTH = ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]
WITHOUT_TLS = {"Bool": {"aws:SecureTransport": "false"}}


def deny(**changes: Any) -> dict[str, Any]:
    whole = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": BOTH, "Condition": WITHOUT_TLS}
    return {"Version": "2012-10-17", "Statement": [whole | changes]}


TLS = [
    pytest.param(deny(), True, id="as-it-should-be"),
    pytest.param({"Statement": deny()["Statement"][0]}, True, id="one-statement-no-list"),
    pytest.param(deny(Principal={"AWS": "*"}), True, id="aws-everybody"),
    pytest.param(deny(Principal={"AWS": ["*"]}, Action=["S3:*"]), True, id="lists-and-case"),
    pytest.param(deny(Condition={"Bool": {"AWS:SecureTransport": ["false"]}}), True, id="key-in-another-case"),
    pytest.param(deny(Condition={"Bool": {"aws:SecureTransport": False}}), True, id="not-text"),
    pytest.param(deny(Resource="arn:aws:s3:::photos*"), True, id="one-pattern"),
    pytest.param(deny(Resource="*"), True, id="any-resource"),
    pytest.param(deny(Effect="Allow"), False, id="allows"),
    pytest.param(deny(Principal={"AWS": "arn:aws:iam::123456789012:root"}), False, id="one-account"),
    pytest.param(deny(Principal={"Service": "*"}), False, id="services"),
    pytest.param(deny(Action="s3:GetObject"), False, id="one-action"),
    pytest.param(deny(Resource=BOTH[:1]), False, id="bucket-without-objects"),
    pytest.param(deny(Resource=BOTH[1:]), False, id="objects-without-bucket"),
    pytest.param(deny(Resource=["arn:aws:s3:::photos", "arn:aws:s3:::photos/private/*"]), False, id="some-objects"),
    pytest.param(deny(Resource=["arn:aws:s3:::other", "arn:aws:s3:::other/*"]), False, id="another-bucket"),
    pytest.param(deny(Condition={"Bool": {"aws:SecureTransport": "true"}}), False, id="denies-tls"),
    pytest.param(deny(Condition={}), False, id="denies-all"),
    pytest.param(deny(Condition={"BoolIfExists": {"aws:ViaAWSService": "false"}}), False, id="another-key"),
    pytest.param(deny(Condition={"StringEquals": {"aws:SecureTransport": "false"}}), False, id="another-operator"),
    pytest.param(
        deny(Condition=WITHOUT_TLS | {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), False, id="one-more-condition"
    ),
    pytest.param(
        deny(Condition={"Bool": {"aws:SecureTransport": "false", "aws:MultiFactorAuthPresent": "false"}}), False,
        id="one-more-key",
    ),
    pytest.param({"Version": "2012-10-17"}, False, id="empty"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "only"), TLS)
def test_only_with_tls(document: dict[str, Any], only: bool) -> None:
    assert requires_tls(document, BOTH[0]) is only


@pytest.mark.parametrize("document", [case.values[0] for case in TLS] + [None])
def test_what_is_added_keeps_the_rest_and_is_enough(document: Any) -> None:
    made = with_tls(document, BOTH[0])
    assert requires_tls(made, BOTH[0])
    there = (document or {}).get("Statement", [])
    kept = [there] if isinstance(there, dict) else there
    assert made["Statement"][:-1] == kept
    assert with_tls(made, BOTH[0]) == made  # a second time adds nothing


def allow(action: Any, resource: Any, **more: Any) -> list[Policy]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return [Policy("mine", {"Statement": [statement]})]


@pytest.mark.parametrize(
    ("policies", "found"),
    [
        (allow("*", "*"), ["*"]),
        (allow(["s3:*", "s3:GetObject", "ec2:*"], "*"), ["s3:*", "ec2:*"]),
        (allow(["s3:Get*", "s3:PutObject"], BOTH), []),
        ([Policy("mine", {"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}})],
         ["everything but some actions"]),
        ([Policy("mine", {"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})], []),
    ],
)  # fmt: skip
def test_wildcard_actions(policies: list[Policy], found: list[str]) -> None:
    assert [excess.what for excess in wildcard_actions(policies)] == found


KEY = "arn:aws:kms:eu-west-3:123456789012:key/00000000-1111-2222-3333-444444444444"


@pytest.mark.parametrize(
    ("policies", "found"),
    [
        pytest.param(allow("s3:GetObject", BOTH), [], id="own"),
        pytest.param(allow("s3:GetObject", "arn:aws:s3:::photos/in/*"), [], id="prefix"),
        pytest.param(allow("s3:GetObject", "*"), ["s3 on *"], id="all"),
        pytest.param(allow("S3:getobject", "*"), ["s3 on *"], id="case"),
        pytest.param(allow("*", "arn:aws:s3:::*"), ["s3 on arn:aws:s3:::*"], id="every-bucket"),
        pytest.param(allow("s3:Get*", "arn:aws:s3:::photos-of-others/*"), ["s3 on arn:aws:s3:::photos-of-others/*"],
                     id="longer-name"),
        pytest.param(allow("s3:Get*", "arn:aws:s3:::pho*"), ["s3 on arn:aws:s3:::pho*"], id="pattern"),
        pytest.param(allow("s3:Get*", "arn:*:s3:::photos/*"), [], id="any-partition"),
        pytest.param(allow("s3:Get*", "arn:aws:s3:eu-west-3:123456789012:accesspoint/x/object/*"),
                     ["s3 on arn:aws:s3:eu-west-3:123456789012:accesspoint/x/object/*"], id="access-point"),
        pytest.param(allow(["s3:GetObject", "kms:Decrypt"], [BOTH[1], KEY]), [], id="with-a-key"),
        pytest.param(allow("kms:Decrypt", "*"), ["kms on *"], id="every-key"),
        pytest.param(allow("kms:Decrypt", KEY.replace("00000000", "*")), [f"kms on {KEY.replace('00000000', '*')}"],
                     id="key-pattern"),
        pytest.param(allow("iam:PassRole", "arn:aws:iam::123456789012:role/*"),
                     ["iam on arn:aws:iam::123456789012:role/*"], id="any-role"),
        pytest.param(allow("ec2:DescribeSubnets", "*"), [], id="not-guarded"),
        pytest.param(allow("*", "*"), ["s3, kms, iam, sts, secretsmanager on *"], id="administrator"),
        pytest.param([Policy("mine", {"Statement": {"Effect": "Allow", "Action": "s3:*", "NotResource": BOTH}})],
                     ["s3 on everything but some resources"], id="not-resource"),
        pytest.param([Policy("mine", {"Statement": {"Effect": "Allow", "NotAction": "ec2:*", "Resource": BOTH}})], [],
                     id="not-action-own"),
        pytest.param([Policy("mine", {"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}})], [],
                     id="denied"),
    ],
)  # fmt: skip
def test_foreign_resources(policies: list[Policy], found: list[str]) -> None:
    assert [excess.what for excess in foreign_resources(policies, {"photos", "results"})] == found


def test_a_condition_is_told() -> None:
    narrowed = allow("s3:GetObject", "*", Condition={"StringEquals": {"aws:ResourceAccount": "123456789012"}})
    assert [excess.narrowed for excess in foreign_resources(narrowed, {"photos"})] == [True]
    assert [excess.narrowed for excess in foreign_resources(allow("s3:GetObject", "*"), {"photos"})] == [False]
