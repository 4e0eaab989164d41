"""Sets an account up for a config: proposes the stack, applies it, and returns the settings that fill the config."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fruitscale.clusters.account import setup_template
from fruitscale.clusters.account.bucket_resources import bucket_id
from fruitscale.clusters.account.network_resources import subnet_ids
from fruitscale.clusters.account.role_resources import LINKED_ROLES, service_role, worker_role
from fruitscale.clusters.account.setup_choices import ACCOUNT, SetupChoices, choose
from fruitscale.clusters.account.stacks import ChangeSet, Stacks
from fruitscale.config.schema import Config, Storage
from fruitscale.errors import ClusterError, UsageError
from fruitscale.storage import aws, residency
from fruitscale.storage.partitions import partition_of

DEFAULT_STACK = "fruitscale"


@dataclass(frozen=True)
class SetupOptions:
    """What the caller chooses in addition to the config. `input_bucket`: create the bucket of the photos too."""

    stack: str = DEFAULT_STACK
    minimal: bool = False
    input_bucket: bool = False
    email: str | None = None
    budget: int = 50


@dataclass(frozen=True)
class ProposedSetup:
    """A change set that `apply` carries out. `existing` are buckets that stay as they are."""

    config: Config
    choices: SetupChoices
    account: str
    change_set: ChangeSet
    existing: tuple[str, ...]
    encrypts_disks: bool
    """Whether `apply` turns the account's encryption of new EBS volumes on."""


def choices_of(config: Config, options: SetupOptions) -> SetupChoices:
    """Return what a set-up of a config contains, without asking AWS. Raises UsageError."""
    return choose(
        config, stack=options.stack, minimal=options.minimal, input_bucket=options.input_bucket, email=options.email,
        budget=options.budget,
    )  # fmt: skip


def propose(config: Config, options: SetupOptions) -> ProposedSetup:
    """Create the change set of a set-up; it changes nothing until it is applied. Raises FruitscaleError."""
    storage = residency.settle(config.storage)
    choices, stacks = choices_of(config, options), _stacks(storage)
    account = aws.ask(aws.client("sts", storage), "get_caller_identity")["Account"]
    owned: dict[str, str] = {}
    if stacks.find(options.stack) is not None:
        earlier = stacks.metadata(options.stack).get(setup_template.METADATA)
        if earlier is None:
            raise UsageError(
                f"There is a stack {options.stack} that fruitscale did not create.",
                "Choose another name: --stack NAME.",
            )
        owned = stacks.resources(options.stack)
        _check_buckets(choices, choices.merged(earlier))
        choices = choices.merged(earlier).without_keys({_arns(choices, account, owned).get("Key", "")})
    wanted = {name: name.replace(ACCOUNT, account) for name in choices.buckets}
    existing = {name for name, real in wanted.items() if bucket_id(name) not in owned and _exists(storage, real)}
    choices = choices.without_buckets(existing)
    body = json.dumps(setup_template.template(choices))
    parameters = {f"Make{name}": "yes" if _makes(storage, name, owned) else "no" for name in LINKED_ROLES}
    change_set = stacks.propose(options.stack, body, parameters, {"fruitscale:purpose": "set-up"})
    disks = choices.minimal and "emr" in choices.kinds and not _encrypts_disks(storage)
    return ProposedSetup(config, choices, account, change_set, tuple(sorted(wanted[name] for name in existing)), disks)


def apply(proposed: ProposedSetup, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Carry out a proposed set-up and return the config's new settings, by dotted key. Raises ClusterError."""
    storage = residency.settle(proposed.config.storage)
    stacks = _stacks(storage)
    if proposed.change_set.changes:
        stacks.execute(proposed.change_set, report)
    else:
        stacks.discard(proposed.change_set)
    if proposed.encrypts_disks:
        report("turning on the encryption of new EBS volumes in this account and region")
        aws.ask(aws.client("ec2", storage), "enable_ebs_encryption_by_default")
    return _settings(proposed, stacks.resources(proposed.choices.stack))


def discard(proposed: ProposedSetup) -> None:
    """Discard a proposed set-up. Raises ClusterError."""
    _stacks(residency.settle(proposed.config.storage)).discard(proposed.change_set)


def _settings(proposed: ProposedSetup, made: Mapping[str, str]) -> dict[str, Any]:
    """Return the config's new settings, by dotted key: the stack's roles and subnets, and keys that were not set."""
    config, choices, arns = proposed.config, proposed.choices, _arns(proposed.choices, proposed.account, made)
    assert config.cluster is not None
    kind, key = config.cluster.kind, arns.get("Key")
    place = {use: uris[0].replace(ACCOUNT, proposed.account) for use, uris in choices.places.items()}
    found: dict[str, Any] = {
        "input.uri": config.input.uri or place["input"],
        "output.uri": config.output.uri or place["output"],
        "storage.region": choices.region,
        "storage.staging_uri": config.storage.staging_uri or place["staging"],
        "cluster.log_uri": config.cluster.log_uri or place["logs"],
    }
    if key and config.storage.kms_key is None:
        found |= {"storage.encryption": "sse-kms", "storage.kms_key": key}
    elif config.storage.encryption is None:
        found["storage.encryption"] = "sse-s3"
    if key and config.cluster.disk_key is None:
        found["cluster.disk_key"] = key
    if kind == "emr-serverless":
        return found | {"cluster.execution_role": arns["WorkerRole"]}
    found |= {"cluster.subnets": [made[name] for name in subnet_ids()], "cluster.vendor_wheels": True}
    found["cluster.instance_profile"] = worker_role(choices)
    return found | ({"cluster.service_role": service_role(choices)} if kind == "emr" else {})


def _arns(choices: SetupChoices, account: str, made: Mapping[str, str]) -> dict[str, str]:
    """Return the ARNs of the machines' role and, if there is one, the key."""
    partition = partition_of(choices.region).name
    arns = {"WorkerRole": f"arn:{partition}:iam::{account}:role/{worker_role(choices)}"}
    if "Key" in made:
        arns["Key"] = f"arn:{partition}:kms:{choices.region}:{account}:key/{made['Key']}"
    return arns


def _check_buckets(choices: SetupChoices, merged: SetupChoices) -> None:
    """Raise UsageError if the stack's roles would reach buckets that this config does not name."""
    others = sorted(merged.used_buckets - choices.used_buckets)
    if others:
        raise UsageError(
            f"The stack {choices.stack} is for other buckets: {', '.join(others)}.",
            "Name the same buckets in this config, or set up another stack: --stack NAME.",
        )


def _stacks(storage: Storage) -> Stacks:
    return Stacks(aws.client("cloudformation", storage))


def _exists(storage: Storage, bucket: str) -> bool:
    (verdict,) = residency.verdicts(storage, [f"s3://{bucket}"])
    return verdict.status != 404


def _makes(storage: Storage, name: str, owned: Mapping[str, str]) -> bool:
    """Return whether the stack has or creates a service-linked role: another stack, or AWS, may have done so."""
    if name in owned:
        return True
    try:
        aws.ask(aws.client("iam", storage), "get_role", RoleName=LINKED_ROLES[name][2])
    except ClusterError as error:
        if aws.is_absent(error):
            return True
        raise
    return False


def _encrypts_disks(storage: Storage) -> bool:
    return bool(aws.ask(aws.client("ec2", storage), "get_ebs_encryption_by_default")["EbsEncryptionByDefault"])
