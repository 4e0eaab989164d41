"""Records the requests of a launch of each kind, of an audit, and of a reaper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from fruitscale.clusters import cluster_config, cluster_run, launch_control, price_list, reap
from fruitscale.clusters import launch as launches
from fruitscale.clusters.bundle import PLANNED
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launch_plan import plan
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.config.schema import Config
from fruitscale.errors import ClusterError
from fruitscale.gdpr import policy_documents
from fruitscale.gdpr.audit import audit
from tests.cloud.agent import Agent
from tests.cloud.cloud import ACCOUNT, REGION, Asked
from tests.cloud.simulated_account import KEY, Account

KINDS = ("emr", "emr-serverless", "ec2-dask")
CALLER = "moto"
MADE = tuple(f"{verb}{what}" for verb in ("Create", "Delete", "Put", "Add", "Remove") for what in
             ("User", "Group", "UserPolicy", "GroupPolicy", "UserToGroup", "UserFromGroup"))  # fmt: skip
"""What makes and removes the caller."""
STAGING, OUTPUT = "s3://photos/recorded", "s3://photos/recorded-out"
"""Where launches are staged, and the folder of their runs."""
HOURS = 12
"""Hours that a launch may take, by default."""


def record(account: Account) -> dict[str, list[Asked]]:
    """Return the requests by what made them."""
    found = {}
    _give_policies(account)
    configs = {kind: _config(account, kind) for kind in KINDS}
    for kind, config in configs.items():
        account.proxy.clear()
        _launch(account, config)
        found[kind] = list(account.proxy.asked)
    account.proxy.clear()
    audit(configs["emr"])
    with _user(account):  # an audit without a cluster looks at the caller, who is this user at moto
        audit(configs["emr"].model_copy(update={"cluster": None}))
    found["audit"] = [asked for asked in account.proxy.asked if asked.operation not in MADE]
    account.proxy.clear()
    price_list.refreshed(configs["ec2-dask"])
    found["prices"] = list(account.proxy.asked)
    found["reap"] = _reap(account)
    return found


def _config(account: Account, kind: str) -> Config:
    """Return a config that uses what a launcher can, with a staging area of its own."""
    special: dict[str, dict[str, Any]] = {
        "emr": {},
        "emr-serverless": {"subnets": [account.subnet], "security_groups": [_group(account)]},
        "ec2-dask": {"market": "spot"},
    }
    config = account.config(kind, disk_key=KEY, **special[kind])
    storage = config.storage.model_copy(update={"staging_uri": STAGING})
    output = config.output.model_copy(update={"uri": f"{OUTPUT}/{kind}"})
    return config.model_copy(update={"storage": storage, "output": output})


def _launch(account: Account, config: Config) -> None:
    """Plan, launch, look at, and end a launch."""
    plan(config)
    with Agent(account, never_ends=True):
        launch = cluster_run.run(config, detach=True).launch
        launch_control.status(config, launch.id)
        with suppress(ClusterError):  # there is no driver, so no log
            launch_control.log(config, launch.id)
        cluster_run.tear_down(launcher_of(launch), lambda _: None)


def _reap(account: Account) -> list[Asked]:
    """Return the requests that end an expired launch of each kind, and a disk that was left."""
    with Agent(account, never_ends=True):
        for kind in KINDS:
            launch = launches.new(cluster_config.settle(_config(account, kind)))
            launch = replace(launch, created=launch.created - 2 * HOURS * 3600)
            launch.save()
            launcher_of(launch).up(PLANNED)
        _leave_a_disk(account, launch)
        account.proxy.clear()
        reap.reap(launch.config)
    return list(account.proxy.asked)


def _leave_a_disk(account: Account, launch: Launch) -> None:
    tags = [{"Key": name, "Value": value} for name, value in launch.tags.items()]
    account.client("ec2").create_volume(
        AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
    )


def _group(account: Account) -> str:
    """Return a security group of the subnet's network."""
    ec2 = account.client("ec2")
    network = ec2.describe_subnets(SubnetIds=[account.subnet])["Subnets"][0]["VpcId"]
    found = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [network]}])
    return str(found["SecurityGroups"][0]["GroupId"])


@contextmanager
def _user(account: Account) -> Iterator[None]:
    """Have the caller as a user with a policy, in a group with a policy."""
    iam, document = account.client("iam"), json.dumps(policy_documents.filled("emr-disks", {"DISK_KEY": KEY}))
    iam.create_user(UserName=CALLER)
    iam.create_group(GroupName=CALLER)
    iam.add_user_to_group(UserName=CALLER, GroupName=CALLER)
    iam.put_user_policy(UserName=CALLER, PolicyName="own", PolicyDocument=document)
    iam.put_group_policy(GroupName=CALLER, PolicyName="own", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_user_policy(UserName=CALLER, PolicyName="own")
        iam.remove_user_from_group(UserName=CALLER, GroupName=CALLER)
        iam.delete_user(UserName=CALLER)
        iam.delete_group_policy(GroupName=CALLER, PolicyName="own")
        iam.delete_group(GroupName=CALLER)


def _give_policies(account: Account) -> None:
    """Give the role of EMR's machines a policy of its own and an attached one, for the audit to read."""
    values = policy_documents.values_of(account.config("emr"), ACCOUNT)
    iam, document = account.client("iam"), json.dumps(policy_documents.filled("worker", values))
    iam.put_role_policy(RoleName="EMR_EC2_DefaultRole", PolicyName="own", PolicyDocument=document)
    made = iam.create_policy(PolicyName="attached", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="EMR_EC2_DefaultRole", PolicyArn=made)
