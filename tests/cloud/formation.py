"""Carries out the parts of a CloudFormation template that moto leaves out, with the properties as the template has them.

moto creates buckets without their public access block, ownership, lifecycle and logging, and creates no bucket policies,
service-linked roles, budgets or schedules; it ignores MapPublicIpOnLaunch and a subnet's route table; it keeps policies of
keys and roles in a form that can't be read. Budgets and schedules are only checked by cfn-lint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from moto.backends import get_backend

from tests.cloud.cloud import ACCOUNT, REGION

LINKED = {"ops.emr-serverless": "AWSServiceRoleForAmazonEMRServerless", "spot": "AWSServiceRoleForEC2Spot",
          "elasticmapreduce": "AWSServiceRoleForEMRCleanup"}  # fmt: skip


class Formation:
    """What moto left out of a stack."""

    def __init__(self, client: Callable[[str], Any], stack: str) -> None:
        self.client = client
        formation = client("cloudformation")
        body = formation.get_template(StackName=stack)["TemplateBody"]
        self.template: dict[str, Any] = json.loads(body) if isinstance(body, str) else dict(body)
        found = formation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
        self.ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
        described = formation.describe_stacks(StackName=stack)["Stacks"][0]
        self.parameters = {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", ())}

    def complete(self) -> None:
        """Create what moto left out."""
        for resource in self.template["Resources"].values():
            if self.parameters.get(resource.get("Condition", "").replace("Makes", "Make", 1)) == "no":
                continue
            make = MAKERS.get(resource["Type"])
            if make is not None:
                make(self, self.value(resource.get("Properties", {})))

    def value(self, value: Any) -> Any:
        """Return a value of the template without functions (a subnet's zone keeps its own)."""
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if not isinstance(value, Mapping) or "Fn::Select" in value:
            return value
        functions: dict[str, Callable[[Any], str]] = {
            "Ref": self.name,
            "Fn::Sub": lambda text: re.sub(r"\$\{(.*?)\}", lambda match: self.name(match[1]), text),
            "Fn::GetAtt": lambda names: self.name(".".join(names)),
        }
        for function, call in functions.items():
            if function in value:
                return call(value[function])
        return {key: self.value(each) for key, each in value.items()}

    def name(self, name: str) -> str:
        """Return what ${name} stands for."""
        pseudo = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION}
        if name in pseudo:
            return pseudo[name]
        resource, _, attribute = name.partition(".")
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self.ids[resource]}" if attribute == "Arn" else self.ids[resource]


def without_conditions(permitted: Callable[[Any, str, str], Any]) -> Callable[[Any, str, str], Any]:
    """Return moto's check of bucket policies without statements that have a condition: it would ignore the condition.

    So the statement that denies requests without TLS would deny all of them.
    """

    def check(bucket: Any, action: str, resource: str) -> Any:
        document, kept = bucket.policy, bucket.policy
        if document is not None:
            read = json.loads(document)
            read["Statement"] = [each for each in read["Statement"] if "Condition" not in each]
            kept = json.dumps(read).encode() if read["Statement"] else None
        bucket.policy = kept
        try:
            return permitted(bucket, action, resource)
        finally:
            bucket.policy = document

    return check


def _bucket(formation: Formation, properties: dict[str, Any]) -> None:
    s3, name = formation.client("s3"), properties["BucketName"]
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"])
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=properties["OwnershipControls"])
    rules = [_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a lifecycle rule as S3's API takes it."""
    made = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": rule["ExpirationInDays"]}
    if "AbortIncompleteMultipartUpload" in rule:
        made["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    return made


def _bucket_policy(formation: Formation, properties: dict[str, Any]) -> None:
    s3, name = formation.client("s3"), properties["Bucket"]
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(properties["PolicyDocument"]))
    for resource in formation.template["Resources"].values():  # the target's policy must be there first
        found = formation.value(resource.get("Properties", {})) if resource["Type"] == "AWS::S3::Bucket" else {}
        logging = found.get("LoggingConfiguration")
        if logging and logging["DestinationBucketName"] == name:
            target = {"TargetBucket": name, "TargetPrefix": logging["LogFilePrefix"]}
            s3.put_bucket_logging(Bucket=found["BucketName"], BucketLoggingStatus={"LoggingEnabled": target})


def _subnet(formation: Formation, properties: dict[str, Any]) -> None:
    """Set what moto takes from the zone: a zone's first subnet assigns public addresses there."""
    (name,) = [name for name, each in formation.template["Resources"].items()
               if formation.value(each.get("Properties", {})) == properties]  # fmt: skip
    public = {"Value": properties["MapPublicIpOnLaunch"]}
    formation.client("ec2").modify_subnet_attribute(SubnetId=formation.ids[name], MapPublicIpOnLaunch=public)


def _association(formation: Formation, properties: dict[str, Any]) -> None:
    """Give a subnet its route table: moto only makes an object of that name."""
    ids = {"RouteTableId": properties["RouteTableId"], "SubnetId": properties["SubnetId"]}
    formation.client("ec2").associate_route_table(**ids)


def _linked_role(formation: Formation, properties: dict[str, Any]) -> None:
    service = properties["AWSServiceName"]
    name = next(role for start, role in LINKED.items() if service.startswith(f"{start}."))
    iam = formation.client("iam")
    if name not in {role["RoleName"] for role in iam.list_roles()["Roles"]}:
        iam.create_role(RoleName=name, Path=f"/aws-service-role/{service}/", AssumeRolePolicyDocument="{}")


def _key(formation: Formation, properties: dict[str, Any]) -> None:
    """Put the key's policy again, as text: moto keeps it as a mapping, and fails on it."""
    key, policy = formation.ids["Key"], json.dumps(properties["KeyPolicy"])
    get_backend("kms")[ACCOUNT][REGION].keys[key].policy = policy


def _role(formation: Formation, properties: dict[str, Any]) -> None:
    """Put the role's policies again, as JSON: moto keeps them as Python's text of a mapping."""
    for policy in properties["Policies"]:
        text = json.dumps(policy["PolicyDocument"])
        formation.client("iam").put_role_policy(
            RoleName=properties["RoleName"], PolicyName=policy["PolicyName"], PolicyDocument=text
        )


MAKERS: dict[str, Callable[[Formation, dict[str, Any]], None]] = {
    "AWS::EC2::Subnet": _subnet,
    "AWS::EC2::SubnetRouteTableAssociation": _association,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Key": _key,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::IAM::ServiceLinkedRole": _linked_role,
}
