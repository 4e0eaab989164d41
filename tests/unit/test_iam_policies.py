"""The policies under configs/iam: well-formed, no wider than AWS makes them be, and every `*` explained."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from fruitscale.errors import ClusterError
from fruitscale.gdpr import policy_documents
from fruitscale.gdpr.iam_policies import Policy, foreign_resources, statements, values, wildcard_actions
from fruitscale.storage import aws
from tests.conftest import ROOT

FILES = sorted((ROOT / "configs" / "iam").glob("*.json"))
ROLES = [path for path in FILES if not path.name.startswith("trust")]
PLACES = ("INPUT", "OUTPUT", "STAGING", "LOG")
LIST = "input-bucket/list.csv"
KEY = "arn:aws:kms:eu-west-3:123456789012:key/00000000-1111-2222-3333-444444444444"
FILLED = {
    **policy_documents.blanks_of_region("eu-west-3"),
    **{f"{place}_BUCKET": f"{place.lower()}-bucket" for place in PLACES},
    **{f"{place}_PREFIX": "some/prefix" for place in PLACES},
    "ACCOUNT": "123456789012", "INPUT_LIST": LIST, "STORAGE_KEY": KEY, "DISK_KEY": KEY,
    "WORKER_ROLE": "worker", "EMR_ROLE": "emr", "VPC_ID": "vpc-1",
}  # fmt: skip
ANY_POLICY = {f"iam on arn:aws:iam::{owner}:policy/*" for owner in ("123456789012", "aws")}
ANY_GROUP = {"iam on arn:aws:iam::123456789012:group/*"}
"""Which policies a role has attached, and which groups a user is in, is known only once they are read."""


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Every action of AWS and the resources it knows, as cfn-lint ships them; botocore's model has none of S3's."""
    package = util.find_spec("cfnlint")  # its data only: importing it takes seconds
    assert package is not None
    assert package.origin is not None
    text = (Path(package.origin).parent / "data" / "AdditionalSpecs" / "Policies.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def document(path: Path) -> dict[str, Any]:
    return policy_documents.filled(path.stem, FILLED)


def ids(path: Path) -> str:
    return path.stem


def test_there_is_a_policy_for_each_role() -> None:
    launchers = {"launch-emr", "launch-emr-serverless", "launch-ec2-dask"}
    services = {"emr-service", "emr-disks", "emr-serverless-disks"}
    assert {path.stem for path in ROLES} == {"worker", "erase", "auditor", "reap", "prices", *services, *launchers}


def test_the_visible_documents_are_the_packages() -> None:
    assert sorted(path.stem for path in FILES) == policy_documents.names()
    assert all(json.loads(path.read_text()) == policy_documents.template(path.stem) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_each_is_a_policy(path: Path) -> None:
    found = document(path)
    assert found["Version"] == "2012-10-17"
    sids = [statement["Sid"] for statement in found["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
    assert statements(found, "Allow") == found["Statement"]
    assert len(json.dumps(found, separators=(",", ":"))) < 6144  # what a managed policy may have


@pytest.mark.parametrize("name", policy_documents.names())
def test_each_fits_into_a_managed_policy_with_long_names(name: str) -> None:
    key = "arn:aws-eusc:kms:eusc-de-east-1:123456789012:key/11111111-1111-1111-1111-111111111111"
    places = {f"{place}_BUCKET": "b" * 50 for place in PLACES} | {f"{place}_PREFIX": "runs/nightly" for place in PLACES}
    values_of_it = {**FILLED, **policy_documents.blanks_of_region("eusc-de-east-1"), **places, "STORAGE_KEY": key,
                    "DISK_KEY": key, "VPC_ID": "vpc-0123456789abcdef0", "INPUT_LIST": f"{'b' * 50}/list.csv"}  # fmt: skip
    assert len(json.dumps(policy_documents.filled(name, values_of_it), separators=(",", ":"))) <= 6144


@pytest.mark.parametrize("path", ROLES, ids=ids)
def test_each_action_exists_and_knows_its_resources(path: Path, known: dict[str, Any]) -> None:
    for statement in document(path)["Statement"]:
        wanted = values(statement, "Resource")
        for action in values(statement, "Action"):
            service, _, name = action.partition(":")
            assert re.fullmatch("[A-Z][A-Za-z0-9]+", name), action
            assert name.lower() in known[service]["Actions"], action
            kinds = known[service]["Actions"][name.lower()].get("Resources", [])
            if wanted == ["*"]:
                assert not kinds, f"{action} could be narrower than *: {kinds}"
            else:
                formats = [form for kind in kinds for form in known[service]["Resources"][kind.lower()]["ARNFormats"]]
                fitting = [arn for arn in wanted if any(fits(arn, form) for form in formats)]
                assert fitting, f"{path.name}: {action} knows none of {wanted}, but {formats}"


def fits(arn: str, form: str) -> bool:
    """Tell whether an ARN is of a kind, as `arn:${Partition}:s3:::${BucketName}`."""
    return re.fullmatch(re.sub(r"\$\{\w+\}", "[^:/]*", form), arn) is not None


@pytest.mark.parametrize("path", ROLES, ids=ids)
def test_no_statement_is_wider_than_it_must_be(path: Path) -> None:
    policy = Policy(path.stem, document(path))
    assert not list(wildcard_actions([policy]))
    foreign = {excess.what for excess in foreign_resources([policy], [f"{place.lower()}-bucket" for place in PLACES])}
    assert foreign == (ANY_POLICY | ANY_GROUP if path.stem == "auditor" else set())
    assert not [action for s in policy.document["Statement"] for action in values(s, "Action") if "*" in action]


def test_every_star_is_explained_and_nothing_else() -> None:
    told = re.findall(r"^\| `([\w-]+\.json)` \| `(\w+)` \| \S", (ROOT / "docs" / "iam.md").read_text(), re.MULTILINE)
    stars = [
        (path.name, statement["Sid"])
        for path in ROLES
        for statement in document(path)["Statement"]
        if "*" in values(statement, "Resource")
    ]
    assert sorted(told) == sorted(stars)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_file_and_every_blank_is_told(path: Path) -> None:
    manual = (ROOT / "docs" / "iam.md").read_text()
    assert f"`{path.name}`" in manual
    blanks = set(policy_documents.BLANK.findall(path.read_text()))
    assert blanks <= set(policy_documents.BLANKS)
    assert all(f"`{blank}`" in manual for blank in blanks), blanks


def test_who_runs_can_change_no_photo() -> None:
    for statement in policy_documents.filled("worker", FILLED)["Statement"]:
        if any("input-bucket" in arn for arn in values(statement, "Resource")):
            assert set(values(statement, "Action")) <= {"s3:GetObject", "s3:ListBucket"}


@pytest.mark.parametrize("name", sorted({path.stem for path in ROLES} - {"worker"}))
def test_nobody_else_can_read_photos(name: str) -> None:
    for statement in policy_documents.filled(name, FILLED)["Statement"]:
        assert not any("input-bucket/" in arn.replace(LIST, "") for arn in values(statement, "Resource"))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_blank_is_left(path: Path) -> None:
    assert not set(policy_documents.BLANK.findall(json.dumps(document(path)))) & set(policy_documents.BLANKS)


def test_what_does_not_exist_is_left_out() -> None:
    values_of_it = {**FILLED, "STORAGE_KEY": None, "INPUT_LIST": None, "INPUT_PREFIX": ""}
    found = policy_documents.filled("worker", values_of_it)
    assert "UseTheKeyThroughS3" not in {statement["Sid"] for statement in found["Statement"]}
    (reading,) = (statement for statement in found["Statement"] if statement["Sid"] == "ReadPhotos")
    assert reading["Resource"] == ["arn:aws:s3:::input-bucket/*"]
    assert policy_documents.filled("emr-disks", {**FILLED, "DISK_KEY": None})["Statement"] == []


def test_a_blank_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="VPC_ID"):
        policy_documents.filled("launch-ec2-dask", {name: value for name, value in FILLED.items() if name != "VPC_ID"})


@pytest.mark.parametrize(
    ("code", "message", "operation", "service"),
    [
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", "The provided credentials do not have permission to create the "
         "service-linked role for EC2 Spot Instances.", "RunInstances", "spot.amazonaws.com"),
        ("AccessDeniedException", "User: x is not authorized to perform: iam:CreateServiceLinkedRole on resource: y",
         "RunJobFlow", "elasticmapreduce.amazonaws.com"),
        ("AccessDeniedException", "You are not authorized to perform: iam:CreateServiceLinkedRole", "CreateApplication",
         "ops.emr-serverless.amazonaws.com"),
    ],
)  # fmt: skip
def test_a_missing_service_linked_role_is_named(code: str, message: str, operation: str, service: str) -> None:
    from botocore.exceptions import ClientError

    class Refusing:
        def request(self) -> None:
            raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    with pytest.raises(ClusterError) as caught:
        aws.ask(Refusing(), "request")
    assert f"aws iam create-service-linked-role --aws-service-name {service} (" in (caught.value.hint or "")


@pytest.mark.parametrize("path", ROLES, ids=ids)
def test_each_condition_on_ec2_is_one_of_its_resources(path: Path, known: dict[str, Any]) -> None:
    """AWS ignores no condition: on a resource without that key, the statement allows nothing."""
    kinds = known["ec2"]["Resources"]
    for statement in document(path)["Statement"]:
        keys = {key for tested in statement.get("Condition", {}).values() for key in tested if key.startswith("ec2:")}
        for arn in values(statement, "Resource") if keys - {"ec2:CreateAction"} else ():
            kind = arn.rsplit(":", 1)[-1].partition("/")[0]
            assert keys <= set(kinds[kind]["ConditionKeys"]), (statement["Sid"], kind)


def test_machines_are_encrypted_private_and_ours() -> None:
    conditions: dict[str, Any] = {}
    for statement in policy_documents.filled("launch-ec2-dask", FILLED)["Statement"]:
        if "ec2:RunInstances" in statement["Action"]:
            for arn in statement["Resource"]:
                conditions[arn.rsplit(":", 1)[-1]] = statement.get("Condition", {})
    del conditions[f"vpc/{FILLED['VPC_ID']}"]  # of the security group that is created there
    assert conditions["volume/*"]["Bool"] == {"ec2:Encrypted": "true"}
    assert conditions["network-interface/*"]["Bool"] == {"ec2:AssociatePublicIpAddress": "false"}
    assert conditions["instance/*"]["StringEquals"] == {"ec2:MetadataHttpTokens": "required"}
    assert [kind for kind, condition in conditions.items() if not condition] == ["image/*"]


@pytest.mark.parametrize("kind", ["emr", "emr-serverless", "ec2-dask"])
@pytest.mark.parametrize("name", ["run.json", "manifest.parquet", "_run/progress.json"])
def test_launchers_follow_runs_below_the_prefix(kind: str, name: str) -> None:
    """They look at the progress and the record, and at the photos of earlier runs for input.new_since."""
    document = policy_documents.filled(f"launch-{kind}", FILLED)
    readable = [arn for each in document["Statement"] if "s3:GetObject" in each["Action"] for arn in each["Resource"]]
    for run in ("some/prefix", "some/prefix/first"):
        assert any(fnmatchcase(f"arn:aws:s3:::output-bucket/{run}/{name}", arn) for arn in readable)
        assert not any(fnmatchcase(f"arn:aws:s3:::output-bucket/{run}/features/0.parquet", arn) for arn in readable)
