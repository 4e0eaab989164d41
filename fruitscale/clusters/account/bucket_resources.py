"""Buckets as CloudFormation resources: private, encrypted, TLS only, with access logs and lifecycle; never deleted."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from fruitscale.clusters.account.setup_choices import ACCOUNT, SetupChoices
from fruitscale.gdpr import policy_documents
from fruitscale.gdpr.retention_controls import LOGS_DAYS

ACCESS_LOGS = "access/"
UPLOAD_DAYS = 7
"""S3 removes the parts of interrupted uploads after this time."""
KEEP = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
"""Deleting the stack leaves data, and the key that decrypts it, in place."""
PRIVATE = {
    "BlockPublicAcls": True, "BlockPublicPolicy": True, "IgnorePublicAcls": True, "RestrictPublicBuckets": True,
}  # fmt: skip


def buckets(choices: SetupChoices) -> dict[str, Any]:
    """Return the buckets and their policies, by logical id."""
    made: dict[str, Any] = {}
    for name in choices.buckets:
        made[bucket_id(name)] = {"Type": "AWS::S3::Bucket", **KEEP, "Properties": _bucket(choices, name)}
        made[f"{bucket_id(name)}Policy"] = {
            "Type": "AWS::S3::BucketPolicy",
            **KEEP,
            "Properties": {"Bucket": {"Ref": bucket_id(name)}, "PolicyDocument": _policy(choices, name)},
        }
    return made


def bucket_id(name: str) -> str:
    """Return the logical id of a bucket: the same whether its name has the account's number or ${AWS::AccountId}."""
    general = re.sub(r"\d{12}", "", name.replace(ACCOUNT, ""))
    words = "".join(word.title() for word in re.split(r"[^a-z0-9]+", general))
    return f"Bucket{words}{hashlib.sha256(general.encode()).hexdigest()[:4]}"


def _bucket(choices: SetupChoices, name: str) -> dict[str, Any]:
    is_target = name == choices.log_bucket  # S3 writes access logs only with its own keys
    keyed = not choices.minimal and not is_target
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]}} if keyed else None
    encryption = {"ServerSideEncryptionByDefault": default or {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": keyed}
    made: dict[str, Any] = {
        "BucketName": name,
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
        "PublicAccessBlockConfiguration": PRIVATE,
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {"Rules": _rules(choices, name)},
    }
    if not is_target:
        target = {"Ref": bucket_id(choices.log_bucket)}
        made["LoggingConfiguration"] = {"DestinationBucketName": target, "LogFilePrefix": f"{ACCESS_LOGS}{name}/"}
    return made


def _rules(choices: SetupChoices, name: str) -> list[dict[str, Any]]:
    """Return the lifecycle: logs expire, photos and results stay, and the parts of interrupted uploads are removed."""
    rules: list[dict[str, Any]] = [
        {"Id": "uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS}}
    ]
    for number, prefix in enumerate(_log_prefixes(choices, name), 1):
        rules.append({"Id": f"logs-{number}", "Status": "Enabled", "Prefix": prefix, "ExpirationInDays": LOGS_DAYS})
    return rules


def _log_prefixes(choices: SetupChoices, name: str) -> list[str]:
    found = [ACCESS_LOGS] if name == choices.log_bucket else []
    for use, prefix in choices.uses(name):
        folder = f"{prefix}/" if prefix else ""
        if use == "staging":
            found += [f"{folder}logs/", f"{folder}runs/"]
        elif use == "logs":
            found.append(folder)
    return list(dict.fromkeys(found))


def _policy(choices: SetupChoices, name: str) -> dict[str, Any]:
    blanks = policy_documents.blanks_of_region(choices.region)
    arn = f"arn:{blanks['PARTITION']}:s3:::{name}"
    statements: list[dict[str, Any]] = [
        {
            "Sid": "OnlyWithTls",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    if name == choices.log_bucket:
        statements.append(
            {
                "Sid": "AccessLogs",
                "Effect": "Allow",
                "Principal": {"Service": f"logging.s3.{blanks['SERVICE_DOMAIN']}"},
                "Action": "s3:PutObject",
                "Resource": f"{arn}/*",
                "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}
