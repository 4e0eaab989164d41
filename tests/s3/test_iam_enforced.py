"""The policies that are shipped are enough for their work, and for nothing beside: moto checks each request against them.

moto knows actions and resources, and no conditions. It asks for `s3:HeadBucket`, which AWS doesn't have (there it is
`s3:ListBucket`), and asks for `s3:DeleteObject` on the bucket where several objects are deleted; so these are added.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from fruitscale.config.schema import Storage
from fruitscale.errors import StorageError
from fruitscale.gdpr import policy_documents
from fruitscale.gdpr.iam_policies import values
from fruitscale.sample import draw
from fruitscale.storage.s3 import S3Store
from tests.conftest import Cli
from tests.s3 import servers
from tests.s3.bucket import Bucket
from tests.s3.conftest import forget
from tests.s3.secured import PARIS, Aws, values_for

PLACES = {"INPUT": ("policy-photos", "in"), "OUTPUT": ("policy-results", "out")}
TEXT = {"Content-Type": "text/plain"}
PATCHES = ["--set", "model.architecture=patch_mean", "--set", "model.input_size=64", "--set", "pca.components=4"]


@dataclass(frozen=True)
class Person:
    """Who has one policy that is shipped, and nothing else."""

    variables: dict[str, str]
    s3: Any

    def cli(self, cli: Cli) -> Cli:
        """Return the command with this person's credentials."""
        return Cli(cli.environment | self.variables)

    def is_refused(self, operation: str, **parameters: str) -> bool:
        """Make a request; tell whether it is refused for want of a right."""
        from botocore.exceptions import ClientError

        try:
            getattr(self.s3, operation)(**parameters)
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        return False


@pytest.fixture(scope="module")
def places(cloud: Aws, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bucket]:
    """Photos, and a place for results in a bucket that keeps versions; something of others is in both."""
    client = servers.client(cloud.endpoint)
    found = {}
    for place, (bucket, prefix) in PLACES.items():
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": PARIS})
        client.put_object(Bucket=bucket, Key="theirs/x", Body=b"")
        found[place] = Bucket(cloud.endpoint, bucket, prefix, client)
    client.put_bucket_versioning(Bucket=found["OUTPUT"].name, VersioningConfiguration={"Status": "Enabled"})
    found["INPUT"].put_folder(draw(tmp_path_factory.mktemp("allowed") / "in", classes=2, per_class=8).path)
    return found


@pytest.fixture(scope="module")
def enforced(cloud: Aws, places: dict[str, Bucket]) -> Iterator[dict[str, Person]]:
    """Have moto check the rights of everybody, for as long as the module lasts."""
    people = {name: person(cloud, name) for name in ("worker", "erase")}
    count_requests(cloud, "0")
    yield people
    count_requests(cloud, "inf")


def count_requests(cloud: Aws, unchecked: str) -> None:
    """Say how many requests moto lets pass before it checks rights."""
    request = urllib.request.Request(f"{cloud.endpoint}/moto-api/reset-auth", unchecked.encode(), TEXT, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def person(cloud: Aws, name: str) -> Person:
    iam, document = cloud.client("iam"), policy_documents.filled(name, values_for(PLACES))
    for statement in document["Statement"]:
        if "s3:ListBucket" in values(statement, "Action"):
            statement["Action"].append("s3:HeadBucket")
        if "s3:DeleteObject" in values(statement, "Action"):
            statement["Resource"].append(statement["Resource"][0].partition("/")[0])
    iam.create_user(UserName=f"policy-{name}")
    iam.put_user_policy(UserName=f"policy-{name}", PolicyName=name, PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=f"policy-{name}")["AccessKey"]
    pair = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    s3 = boto3.client("s3", endpoint_url=cloud.endpoint, region_name=PARIS, **pair)
    return Person({name.upper(): value for name, value in pair.items()}, s3)


def storage(cloud: Aws) -> list[str]:
    return ["--set", f"storage.endpoint={cloud.endpoint}", "--set", f"storage.region={PARIS}"]


def test_a_run_and_an_erase_have_what_they_need(
    s3_cli: Cli, cloud: Aws, places: dict[str, Bucket], enforced: dict[str, Person]
) -> None:
    where = ["-i", places["INPUT"].uri, "-o", places["OUTPUT"].uri, *storage(cloud)]
    ran = enforced["worker"].cli(s3_cli)("run", "-e", "local", *PATCHES, "--set", "slots=1", "--json", *where)
    assert ran.record["images"] == {"featurized": 16, "rejected": 0, "resumed": 0}
    path = next(name for name in places_of(enforced["worker"], places["INPUT"]) if name.endswith(".jpg"))
    flags = ["--path", path, "--refit", "--json", *storage(cloud)]
    ran = enforced["erase"].cli(s3_cli)("erase", places["OUTPUT"].uri, *flags)
    assert ran.record["photos"] == 1
    assert ran.record["versions_removed"] > 0
    assert ran.record["versions_remaining"] == 0


def places_of(who: Person, place: Bucket) -> list[str]:
    found = who.s3.list_objects_v2(Bucket=place.name, Prefix=f"{place.prefix}/")["Contents"]
    return [each["Key"].removeprefix(f"{place.prefix}/") for each in found]


@pytest.mark.parametrize(
    ("who", "operation", "place", "key"),
    [
        ("worker", "put_object", "INPUT", "in/new.jpg"),
        ("worker", "delete_object", "INPUT", "in/new.jpg"),
        ("worker", "get_object", "INPUT", "theirs/x"),
        ("worker", "get_object", "OUTPUT", "theirs/x"),
        ("worker", "put_object", "OUTPUT", "theirs/x"),
        ("worker", "delete_object", "OUTPUT", "theirs/x"),
        ("worker", "list_object_versions", "OUTPUT", ""),
        ("worker", "put_bucket_policy", "OUTPUT", ""),
        ("erase", "list_objects_v2", "INPUT", ""),
        ("erase", "get_object", "INPUT", "in/new.jpg"),
        ("erase", "put_object", "OUTPUT", "theirs/x"),
    ],
)
def test_nobody_may_do_more(
    enforced: dict[str, Person], places: dict[str, Bucket], who: str, operation: str, place: str, key: str
) -> None:
    more = {"Key": key} if key else {"Policy": "{}"} if operation == "put_bucket_policy" else {}
    assert enforced[who].is_refused(operation, Bucket=places[place].name, **more)


def test_who_may_not_delete_is_told_at_once(
    cloud: Aws, enforced: dict[str, Person], places: dict[str, Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for name, value in enforced["worker"].variables.items():
            patch.setenv(name, value)
        forget()
        store = S3Store(places["INPUT"].uri, Storage(region=PARIS, endpoint=cloud.endpoint, retry_seconds=600))
        with pytest.raises(StorageError, match=r"can't be written: access is denied"):
            store.delete("new.jpg")
    forget()
