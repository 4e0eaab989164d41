"""The set-up of an account as one CloudFormation template: buckets, key, roles, network and budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fruitscale.clusters.account.bucket_resources import KEEP, buckets
from fruitscale.clusters.account.network_resources import network
from fruitscale.clusters.account.role_resources import LINKED_ROLES, linked_service, roles
from fruitscale.clusters.account.setup_choices import ACCOUNT, SetupChoices
from fruitscale.gdpr import policy_documents

METADATA = "fruitscale"
WARN_PERCENT = 80


def template(choices: SetupChoices) -> dict[str, Any]:
    """Return the template of a set-up."""
    resources: dict[str, Any] = {
        **buckets(choices),
        **({} if choices.minimal else {"Key": _key(choices), "KeyName": _key_name(choices)}),
        **roles(choices),
        **network(choices),
        "Budget": _budget(choices),
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "fruitscale: resources for runs on temporary machines in this account",
        "Metadata": {METADATA: choices.metadata()},
        "Parameters": {f"Make{name}": _parameter(linked_service(choices, name)) for name in LINKED_ROLES},
        "Conditions": {f"Makes{name}": {"Fn::Equals": [{"Ref": f"Make{name}"}, "yes"]} for name in LINKED_ROLES},
        "Resources": substituted(resources),
    }


def substituted(value: Any) -> Any:  # noqa: ANN401  any JSON
    """Return a value with Fn::Sub around each text that contains ${…}."""
    if isinstance(value, str):
        return {"Fn::Sub": value} if "${" in value else value
    if isinstance(value, Mapping):
        return {key: each if key == "Fn::Sub" else substituted(each) for key, each in value.items()}
    return [substituted(each) for each in value] if isinstance(value, list) else value


def gives_up(choices: SetupChoices) -> list[str]:
    """Return sentences about what a minimal set-up lacks."""
    if not choices.minimal:
        return []
    return [
        "No KMS key of your own: S3 and EBS encrypt with keys that AWS manages, so you can't revoke or audit their use.",
        "EMR encrypts disks only because the account encrypts all new EBS volumes by default; --apply turns that on.",
        "No interface endpoints: the machines reach S3 and no other service of AWS. Their subnets stay private.",
    ]


def _key(choices: SetupChoices) -> dict[str, Any]:
    return {
        "Type": "AWS::KMS::Key",
        **KEEP,
        "Properties": {
            "Description": "fruitscale: buckets, and disks of temporary machines",
            "EnableKeyRotation": True,
            "KeyPolicy": {"Version": "2012-10-17", "Statement": _by_whom(choices)},
        },
    }


def _by_whom(choices: SetupChoices) -> list[dict[str, Any]]:
    """Return the key's policy: access is by IAM policies of this account, except for two services of AWS, which have none."""
    blanks = policy_documents.blanks_of_region(choices.region)
    account = f"arn:{blanks['PARTITION']}:iam::{ACCOUNT}"
    spot = f"{account}:role/aws-service-role/spot.{blanks['SERVICE_DOMAIN']}/{LINKED_ROLES['SpotRole'][2]}"
    application = f"arn:{blanks['PARTITION']}:emr-serverless:{choices.region}:{ACCOUNT}:/applications/*"
    return [
        {
            "Sid": "PoliciesOfThisAccount", "Effect": "Allow", "Principal": {"AWS": ACCOUNT},
            "Action": "kms:*", "Resource": "*",
        },
        {
            "Sid": "DisksOfSpotMachines", "Effect": "Allow", "Principal": {"AWS": "*"},
            "Action": [
                "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom", "kms:ReEncryptTo",
            ],
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:CallerAccount": ACCOUNT}, "ArnEquals": {"aws:PrincipalArn": spot}},
        },
        {
            "Sid": "DisksOfEmrServerless", "Effect": "Allow",
            "Principal": {"Service": f"emr-serverless.{blanks['SERVICE_DOMAIN']}"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT}, "StringLike": {"aws:SourceArn": application},
            },
        },
    ]  # fmt: skip


def _key_name(choices: SetupChoices) -> dict[str, Any]:
    name = f"alias/{choices.stack}"
    return {"Type": "AWS::KMS::Alias", "Properties": {"AliasName": name, "TargetKeyId": {"Ref": "Key"}}}


def _budget(choices: SetupChoices) -> dict[str, Any]:
    """Return a monthly budget of the whole account: by default, AWS does not separate the costs of one project."""
    limit = {"Amount": choices.budget, "Unit": "USD"}
    made: dict[str, Any] = {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": limit}
    properties: dict[str, Any] = {"Budget": made}
    if choices.email:
        who = [{"SubscriptionType": "EMAIL", "Address": choices.email}]
        properties["NotificationsWithSubscribers"] = [
            {"Notification": _alarm("ACTUAL", WARN_PERCENT), "Subscribers": who},
            {"Notification": _alarm("FORECASTED", 100), "Subscribers": who},
        ]
    return {"Type": "AWS::Budgets::Budget", "Properties": properties}


def _alarm(kind: str, percent: int) -> dict[str, Any]:
    return {
        "NotificationType": kind,
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": percent,
        "ThresholdType": "PERCENTAGE",
    }


def _parameter(service: str) -> dict[str, Any]:
    text = f"Whether to create the service-linked role of {service}; no: the account has it already"
    return {"Type": "String", "Default": "yes", "AllowedValues": ["yes", "no"], "Description": text}


def as_text(made: Mapping[str, Any], name: str) -> str:
    """Return a template: YAML if the file's name ends in .yaml or .yml, else JSON."""
    if name.endswith((".yaml", ".yml")):
        import yaml

        return yaml.safe_dump(made, sort_keys=False, width=120)
    return json.dumps(made, indent=2) + "\n"
