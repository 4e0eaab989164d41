"""Roles as CloudFormation resources, with the policies that fruitscale ships."""

from __future__ import annotations

from typing import Any

from fruitscale.clusters.account.setup_choices import ACCOUNT, SetupChoices
from fruitscale.gdpr import policy_documents

LINKED_ROLES = {
    "EmrCleanupRole": ("elasticmapreduce", "EMR_DOMAIN", "AWSServiceRoleForEMRCleanup"),
    "EmrServerlessRole": ("ops.emr-serverless", "SERVICE_DOMAIN", "AWSServiceRoleForAmazonEMRServerless"),
    "SpotRole": ("spot", "SERVICE_DOMAIN", "AWSServiceRoleForEC2Spot"),
}
"""Service-linked roles by logical id: the service, the blank with its domain, and the role's name."""
KEY_ARN = "${Key.Arn}"
_BUCKETS = {"input": "INPUT", "output": "OUTPUT", "staging": "STAGING", "logs": "LOG"}


def roles(choices: SetupChoices) -> dict[str, Any]:
    """Return the machines' role and profile (which share a name), EMR's role and the service-linked roles, by logical id."""
    worker, service = worker_role(choices), service_role(choices)
    return {
        "WorkerRole": _role(worker, _trust(choices, "ec2", "emr-serverless"), _policies(choices, _of_workers(choices))),
        "WorkerProfile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"InstanceProfileName": worker, "Roles": [{"Ref": "WorkerRole"}]},
        },
        "ServiceRole": _role(
            service, _trust(choices, "emr"), _policies(choices, ["emr-service", "emr-disks"]), [_managed(choices)]
        ),
        **{name: _linked(choices, name) for name in LINKED_ROLES},
    }


def worker_role(choices: SetupChoices) -> str:
    """Return the name of the machines' role, with the region: IAM's names are shared by all regions."""
    return f"{choices.stack}-worker-{choices.region}"


def service_role(choices: SetupChoices) -> str:
    """Return the name of EMR's role."""
    return f"{choices.stack}-emr-{choices.region}"


def linked_service(choices: SetupChoices, name: str) -> str:
    """Return the service of a service-linked role."""
    service, domain, _ = LINKED_ROLES[name]
    return f"{service}.{policy_documents.blanks_of_region(choices.region)[domain]}"


def document(choices: SetupChoices, name: str) -> dict[str, Any]:
    """Return a policy for every place of the choices; statements with the same name are merged."""
    made: dict[str, dict[str, Any]] = {}
    for values in _values(choices):
        for statement in policy_documents.filled(name, values)["Statement"]:
            known = made.setdefault(statement["Sid"], statement)
            if known is not statement and isinstance(known.get("Resource"), list):
                known["Resource"] = list(dict.fromkeys([*known["Resource"], *statement["Resource"]]))
    return {"Version": "2012-10-17", "Statement": list(made.values())}


def _values(choices: SetupChoices) -> list[dict[str, str | None]]:
    """Return the values of the blanks, once for each place or key of the use that has the most."""
    keys: list[str | None] = [*([] if choices.minimal else [KEY_ARN]), *choices.keys]
    places = {use: choices.prefixes(use) for use in _BUCKETS}
    most = max(len(keys), *map(len, places.values()))
    common: dict[str, str | None] = {
        **policy_documents.blanks_of_region(choices.region),
        "ACCOUNT": ACCOUNT,
        "WORKER_ROLE": worker_role(choices),
        "EMR_ROLE": service_role(choices),
        "VPC_ID": "${Network}" if choices.has_network else None,
        "INPUT_LIST": None,
    }
    made = []
    for number in range(most):
        values = dict(common)
        for use, name in _BUCKETS.items():
            bucket, prefix = places[use][min(number, len(places[use]) - 1)]
            values |= {f"{name}_BUCKET": bucket, f"{name}_PREFIX": prefix}
        values["STORAGE_KEY"] = values["DISK_KEY"] = keys[min(number, len(keys) - 1)] if keys else None
        made.append(values)
    return made


def _of_workers(choices: SetupChoices) -> list[str]:
    disks = {"emr": "emr-disks", "emr-serverless": "emr-serverless-disks"}
    return ["worker", *(disks[kind] for kind in choices.kinds if kind in disks)]


def _policies(choices: SetupChoices, names: list[str]) -> list[dict[str, Any]]:
    found = {name: document(choices, name) for name in names}
    return [{"PolicyName": name, "PolicyDocument": each} for name, each in found.items() if each["Statement"]]


def _trust(choices: SetupChoices, *services: str) -> dict[str, Any]:
    statements = [
        {**statement, "Sid": "".join(word.title() for word in service.split("-"))}
        for service in services
        for statement in document(choices, f"trust-{service}")["Statement"]
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _managed(choices: SetupChoices) -> str:
    partition = policy_documents.blanks_of_region(choices.region)["PARTITION"]
    return f"arn:{partition}:iam::aws:policy/{policy_documents.EMR_MANAGED}"


def _role(
    name: str, trust: dict[str, Any], policies: list[dict[str, Any]], managed: list[str] | None = None
) -> dict[str, Any]:
    properties = {"RoleName": name, "AssumeRolePolicyDocument": trust, "Policies": policies}
    return {"Type": "AWS::IAM::Role", "Properties": properties | ({"ManagedPolicyArns": managed} if managed else {})}


def _linked(choices: SetupChoices, name: str) -> dict[str, Any]:
    """Return a service-linked role: it outlives the stack, since the whole account uses it."""
    return {
        "Type": "AWS::IAM::ServiceLinkedRole",
        "Condition": f"Makes{name}",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"AWSServiceName": linked_service(choices, name)},
    }
