"""Buckets at moto as they should be, for the audit, and what runs the commands that it prints.

moto stands in for what only AWS has: the settings of buckets, roles, keys and regions. The commands are run through
boto3 with the CLI's own rule for names, so that botocore's model checks them as it would the CLI's.
"""

from __future__ import annotations

import itertools
import json
import shlex
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3

from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.gdpr import policy_documents
from fruitscale.gdpr.access_controls import BLOCKS
from fruitscale.gdpr.findings import Audit, AuditFinding
from fruitscale.gdpr.iam_policies import with_tls
from fruitscale.gdpr.retention_controls import erasure_rule
from tests.s3 import servers

PARIS = servers.REGION
_numbers = itertools.count()


@cache
def _client(endpoint: str, service: str, region: str) -> Any:
    make: Any = boto3.client
    pair = {"aws_access_key_id": servers.KEY_ID, "aws_secret_access_key": servers.SECRET}
    return make(service, endpoint_url=endpoint, region_name=region, **pair)


@dataclass(frozen=True)
class Aws:
    """An AWS that is moto, with what a run needs in it."""

    endpoint: str

    def client(self, service: str, region: str = PARIS) -> Any:
        """Return a client of a service."""
        return _client(self.endpoint, service, region)

    @property
    def s3(self) -> Any:
        """A client of S3."""
        return self.client("s3")

    def bucket(self, use: str, region: str = PARIS) -> str:
        """Make a bucket with no settings at all."""
        name = f"{use}-{next(_numbers)}"
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self.client("s3", region).create_bucket(Bucket=name, **place)
        return name

    def secured(self, use: str, logs: str | None) -> str:
        """Make a bucket that every control passes, with access logs into `logs`; without, it is for logs itself."""
        name, s3 = self.bucket(use), self.s3
        self.block(name, *BLOCKS)
        owner = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=owner)
        self.encrypt(name, {"SSEAlgorithm": "AES256"})
        document = with_tls(None, f"arn:aws:s3:::{name}")
        if logs is None:
            document["Statement"].insert(0, _delivery(name))  # moto stumbles over a principal `*` before it
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(document))
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        ends_logs = [lifecycle_rule("logs", Expiration={"Days": 90})] if logs is None else []
        self.lifecycle(name, lifecycle_rule("erasure", **erasure_rule()), *ends_logs)
        if logs is not None:
            enabled = {"LoggingEnabled": {"TargetBucket": logs, "TargetPrefix": f"{name}/"}}
            s3.put_bucket_logging(Bucket=name, BucketLoggingStatus=enabled)
        return name

    def block(self, bucket: str, *names: str) -> None:
        """Turn some of the four settings on that keep the public out."""
        settings = {name: name in names for name in BLOCKS}
        self.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=settings)

    def encrypt(self, bucket: str, default: dict[str, str]) -> None:
        """Set a bucket's default encryption."""
        self.s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]},
        )

    def lifecycle(self, bucket: str, *rules: dict[str, Any]) -> None:
        """Set a bucket's lifecycle rules."""
        self.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})

    def replicate(self, bucket: str, *targets: str) -> None:
        """Have a bucket copied to others."""
        rules = [
            {
                "ID": f"copy-{i}", "Status": "Enabled", "Priority": i, "Filter": {"Prefix": ""},
                "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": f"arn:aws:s3:::{target}"},
            }
            for i, target in enumerate(targets, 1)
        ]  # fmt: skip
        configuration = {"Role": "arn:aws:iam::123456789012:role/copies", "Rules": rules}
        self.s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=configuration)

    def role(self, *policies: dict[str, Any]) -> str:
        """Make a role with these inline policies."""
        name, iam = f"worker-{next(_numbers)}", self.client("iam")
        trust: dict[str, Any] = policy()
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        for i, document in enumerate(policies):
            iam.put_role_policy(RoleName=name, PolicyName=f"policy-{i}", PolicyDocument=json.dumps(document))
        return name

    def run(self, line: str) -> None:
        """Run a command of the AWS CLI: the verb is an operation, and its options are what botocore's model has."""
        from botocore import xform_name

        program, service, verb, *options = shlex.split(line)
        assert program == "aws"
        client = self.client({"s3api": "s3"}.get(service, service))
        operation = verb.replace("-", "_")
        members = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
        names = {xform_name(name, "-"): (name, shape.type_name) for name, shape in members.members.items()}
        arguments = {}
        for flag, value in zip(options[::2], options[1::2], strict=True):
            if flag != "--region":
                name, kind = names[flag.removeprefix("--")]
                arguments[name] = json.loads(value) if kind in ("structure", "list", "map") else value
        getattr(client, operation)(**arguments)


def config(endpoint: str, photos: str, cluster: object = None, **storage: Any) -> Config:
    """Return the settings of a run from and to one bucket, as they should be."""
    return from_mapping({
        "input": {"uri": f"s3://{photos}/in"},
        "output": {"uri": f"s3://{photos}/out", "paths": "hashed"},
        "storage": {"endpoint": endpoint, "region": PARIS, "encryption": "sse-s3", **storage},
        "cluster": cluster,
    })  # fmt: skip


def of(found: Audit, subject: str) -> dict[str, AuditFinding]:
    """Return the findings on one subject by their setting."""
    return {finding.setting: finding for finding in found.findings if finding.subject == subject}


def worker(bucket: str) -> dict[str, Any]:
    """Return the policy that is shipped for a run, for a run that has everything in one bucket."""
    return policy_documents.filled(
        "worker", values_for(dict.fromkeys(("INPUT", "OUTPUT", "STAGING", "LOG"), (bucket, "")))
    )


def values_for(places: dict[str, tuple[str, str]]) -> dict[str, str | None]:
    """Return what fills in a policy, for (bucket, prefix) pairs; there are no keys and no list."""
    return {
        **dict.fromkeys(policy_documents.BLANKS),
        **policy_documents.blanks_of_region(PARIS),
        "ACCOUNT": "123456789012",
        **{f"{place}_BUCKET": bucket for place, (bucket, _) in places.items()},
        **{f"{place}_PREFIX": prefix for place, (_, prefix) in places.items()},
    }


def policy(**statement: Any) -> dict[str, Any]:
    """Return a policy of one statement, or of none."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}] if statement else []}


def lifecycle_rule(name: str, **actions: Any) -> dict[str, Any]:
    """Return a rule for every object, of any name."""
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": ""}} | actions


def _delivery(bucket: str) -> dict[str, Any]:
    return {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
