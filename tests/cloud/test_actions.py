"""The policies have exactly the actions of the requests that are made: recorded at moto, with what those depend on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import botocore.session
import pytest
from botocore import xform_name

from fruitscale.gdpr import policy_documents
from fruitscale.gdpr.iam_policies import values
from tests.cloud.actions import EVERYBODY, action_of, needed
from tests.cloud.cloud import ACCOUNT, Asked
from tests.cloud.recording import OUTPUT, STAGING
from tests.cloud.simulated_account import Account
from tests.conftest import ROOT

CLOSED = {"ec2:DescribeVpcEndpoints": "asked for a subnet without a route to the internet"}
DEFAULT_KEY = {"ec2:GetEbsEncryptionByDefault": "asked on EMR without a key of your own for disks"}
RARE = {
    "launch-emr": {
        "elasticmapreduce:DescribeSecurityConfiguration": "asked after an error, and for one of your own",
        "ec2:DescribeSecurityGroups": "asked for groups of your own",
        **DEFAULT_KEY,
        **CLOSED,
    },
    "launch-emr-serverless": CLOSED,
    "auditor": DEFAULT_KEY,
    "launch-ec2-dask": {"ec2:DescribeImages": "asked for an image of your own"} | CLOSED,
}
"""Actions that no request of an ordinary launch needs, and when they are."""
GROUPS = [
    pytest.param("emr", ("launch-emr", "auditor"), id="emr"),
    pytest.param("emr-serverless", ("launch-emr-serverless", "auditor"), id="emr-serverless"),
    pytest.param("ec2-dask", ("launch-ec2-dask", "auditor"), id="ec2-dask"),
    pytest.param("audit", ("auditor",), id="audit"),
    pytest.param("prices", ("prices",), id="prices"),
    pytest.param("reap", ("reap",), id="reap"),
]


def actions(name: str) -> set[str]:
    return {action for each in policy_documents.template(name)["Statement"] for action in values(each, "Action")}


def table(recorded: dict[str, list[Asked]], what: str) -> dict[str, set[str]]:
    """Return the requests of each action."""
    rows: dict[str, set[str]] = {}
    for asked in recorded[what]:
        for action, request in needed(asked):
            rows.setdefault(action, set()).add(request)
    return {action: requests for action, requests in rows.items() if action not in EVERYBODY}


@pytest.mark.parametrize(("what", "names"), GROUPS)
def test_every_request_is_allowed_and_nothing_else(
    recorded: dict[str, list[Asked]], what: str, names: tuple[str, ...]
) -> None:
    rows = table(recorded, what)
    for action, requests in sorted(rows.items()):
        print(f"{what} | {action} | {', '.join(sorted(requests))}")  # noqa: T201  the table, with pytest -s
    allowed = {action for name in names for action in actions(name)}
    assert {action: requests for action, requests in rows.items() if action not in allowed} == {}
    (own, *others) = names
    without_request = actions(own) - set(rows) - set(RARE.get(own, {}))
    assert without_request == set(), "remove them from the policy, or add what needs them"
    assert not set(RARE.get(own, {})) & set(rows)
    assert others in ([], ["auditor"])


def test_the_services_policies() -> None:
    """What AWS's services do is not asked by us: EMR's management guide and EMR Serverless' user guide list it."""
    disks: dict[str, Any] = {each["Sid"]: each for each in policy_documents.template("emr-disks")["Statement"]}
    assert actions("emr-disks") == {
        "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    }  # fmt: skip
    assert disks["EncryptDisks"]["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    assert actions("emr-service") == {"iam:PassRole", "iam:CreateServiceLinkedRole"}
    assert actions("emr-serverless-disks") == {"kms:Decrypt", "kms:GenerateDataKey"}


@pytest.mark.parametrize("kind", ["emr", "emr-serverless", "ec2-dask"])
def test_every_bucket_and_object_is_allowed(shared: Account, recorded: dict[str, list[Asked]], kind: str) -> None:
    config = shared.config(kind)
    storage = config.storage.model_copy(update={"staging_uri": STAGING})
    output = config.output.model_copy(update={"uri": OUTPUT})
    config = config.model_copy(update={"storage": storage, "output": output})
    filled = policy_documents.values_of(config, ACCOUNT, vpc="vpc-1")
    documents = [policy_documents.filled(name, filled) for name in (f"launch-{kind}", "auditor")]
    allowed = [
        (action, arn)
        for document in documents
        for statement in document["Statement"]
        for action in values(statement, "Action")
        for arn in values(statement, "Resource")
    ]
    for asked in recorded[kind]:
        for arn in resources_of(asked):
            fitting = [
                pattern for action, pattern in allowed if action == action_of(asked) and fnmatchcase(arn, pattern)
            ]
            assert fitting, f"{action_of(asked)} on {arn}"


def resources_of(asked: Asked) -> list[str]:
    """Return the ARNs of an S3 request."""
    if not asked.is_s3:
        return []
    path = unquote(urlsplit(asked.path).path.strip("/"))
    if asked.method == "POST":
        return [f"arn:aws:s3:::{path}/{key}" for key in re.findall("<Key>(.*?)</Key>", asked.body.decode())]
    return [f"arn:aws:s3:::{path}"]


SERVICES = {
    "ec2": "ec2", "emr": "elasticmapreduce", "emr-serverless": "emr-serverless", "iam": "iam", "kms": "kms",
    "pricing": "pricing", "s3": "s3", "service-quotas": "servicequotas", "ssm": "ssm", "sts": "sts",
}  # fmt: skip
"""botocore's names of services, and IAM's."""
S3_ACTIONS = {
    "HeadBucket": "ListBucket", "ListObjectsV2": "ListBucket", "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration", "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
}  # fmt: skip


def test_every_operation_in_the_code_is_allowed() -> None:
    """Also those that no launch at moto reaches; `clusters/account` is for administrators."""
    allowed = {action for name in policy_documents.names() for action in actions(name)} | EVERYBODY
    known = operations()
    package = ROOT / "fruitscale"
    paths = [path for folder in ("clusters", "gdpr") for path in (package / folder).rglob("*.py")]
    found = {word for path in paths if "account" not in path.parts for word in words(path)}
    named = {known[word] for word in found & set(known) - {"sign"}}  # certificates are signed, too
    assert len(named) > 30
    assert named - allowed == set()
    assert {action for rare in RARE.values() for action in rare} & allowed <= named


def operations() -> dict[str, str]:
    """Return the action of each operation of the services, by the operation's name in Python."""
    session, found = botocore.session.get_session(), {}
    for service, prefix in SERVICES.items():
        for name in session.get_service_model(service).operation_names:
            found[xform_name(name)] = f"{prefix}:{S3_ACTIONS.get(name, name) if service == 's3' else name}"
    return found


def words(path: Path) -> Iterator[str]:
    """Yield the names and texts of a module: an operation is one or the other."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
