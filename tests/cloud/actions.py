"""Which IAM actions a recorded request needs: its own, and those it depends on.

botocore knows no actions. A request's action is the service that it is signed for and its operation, except on S3. What a
request depends on is in AWS's service authorization reference; DEPENDENT has what these requests have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.cloud.cloud import Asked

OF_BUCKETS = {
    "encryption": "GetEncryptionConfiguration", "lifecycle": "GetLifecycleConfiguration", "logging": "GetBucketLogging",
    "object-lock": "GetBucketObjectLockConfiguration", "ownershipControls": "GetBucketOwnershipControls",
    "policy": "GetBucketPolicy", "publicAccessBlock": "GetBucketPublicAccessBlock",
    "replication": "GetReplicationConfiguration", "tagging": "GetBucketTagging", "versioning": "GetBucketVersioning",
}  # fmt: skip
OF_OBJECTS = {
    "GET": "GetObject",
    "HEAD": "GetObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
    "POST": "DeleteObject",
}
EVERYBODY = frozenset({"sts:GetCallerIdentity"})
"""What needs no permission."""
EBS = ("CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")


@dataclass(frozen=True)
class Dependency:
    """Actions that a request needs beside its own, if `applies` to it."""

    operation: str
    what: str
    actions: tuple[str, ...]
    applies: Callable[[Asked], bool]


def _has(text: str) -> Callable[[Asked], bool]:
    """Return whether a parameter's name contains a text."""
    return lambda asked: any(text in name for name in asked.said)


def _always(_: Asked) -> bool:
    return True


def _spot(asked: Asked) -> bool:
    return asked.said.get("InstanceMarketOptions.MarketType") == "spot"


DEPENDENT = (
    Dependency("RunInstances", "tags", ("ec2:CreateTags",), _has("TagSpecification")),
    Dependency("RunInstances", "an instance profile", ("iam:PassRole",), _has("IamInstanceProfile")),
    Dependency("RunInstances", "a disk key", tuple(f"kms:{name}" for name in EBS), _has("KmsKeyId")),
    Dependency("RunInstances", "spot machines, the first time", ("iam:CreateServiceLinkedRole",), _spot),
    Dependency("CreateSecurityGroup", "tags", ("ec2:CreateTags",), _has("TagSpecification")),
    Dependency("RunJobFlow", "tags", ("elasticmapreduce:AddTags",), _has("Tags")),
    Dependency("RunJobFlow", "scaling", ("elasticmapreduce:PutManagedScalingPolicy",), _has("ManagedScalingPolicy")),
    Dependency("RunJobFlow", "the end when idle", ("elasticmapreduce:PutAutoTerminationPolicy",), _has("AutoTermination")),
    Dependency("RunJobFlow", "two roles", ("iam:PassRole",), _has("Role")),
    Dependency("RunJobFlow", "the first cluster", ("iam:CreateServiceLinkedRole",), _always),
    Dependency("CreateApplication", "tags", ("emr-serverless:TagResource",), _has("tags")),
    Dependency("CreateApplication", "subnets", ("ec2:CreateNetworkInterface",), _has("networkConfiguration")),
    Dependency("CreateApplication", "the first one", ("iam:CreateServiceLinkedRole",), _always),
    Dependency(
        "CreateApplication", "a disk key", ("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"), _has("diskEncryption")
    ),
    Dependency("StartJobRun", "tags", ("emr-serverless:TagResource",), _has("tags")),
    Dependency("StartJobRun", "the job's role", ("iam:PassRole",), _has("executionRoleArn")),
    Dependency("StartJobRun", "an application that starts by itself", ("emr-serverless:StartApplication",), _always),
    Dependency("PutObject", "a storage key", ("kms:GenerateDataKey",), _always),
    Dependency("GetObject", "a storage key", ("kms:Decrypt",), _always),
)  # fmt: skip


def needed(asked: Asked) -> Iterator[tuple[str, str]]:
    """Yield each action that a request needs, with the request that needs it."""
    action = action_of(asked)
    operation = action.partition(":")[2]
    yield action, operation
    for each in DEPENDENT:
        if each.operation == operation and each.applies(asked):
            yield from ((name, f"{operation} with {each.what}") for name in each.actions)


def action_of(asked: Asked) -> str:
    """Return a request's own action."""
    if not asked.is_s3:
        return f"{asked.service}:{asked.operation}"
    parts = urlsplit(asked.path)
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.path.strip("/").partition("/")[2] or "delete" in query:
        return f"s3:{OF_OBJECTS[asked.method]}"
    setting = next((action for name, action in OF_BUCKETS.items() if name in query), None)
    return f"s3:{setting or 'ListBucket'}"
