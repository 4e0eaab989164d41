"""Builds the EC2 requests of a launch, and the start script of its machines; sends nothing."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import TAG, Launch
from fruitscale.config.cluster_section import Ec2Dask
from fruitscale.storage import aws

PORT = 8786
LEADER = "scheduler"
ROLE = f"{TAG}role"
HOME = "/opt/fruitscale"
IMAGES = {"x86_64": "x86_64", "aarch64": "arm64"}
IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
MOST_USER_DATA = 16384
ROOT_DEVICE = "/dev/xvda"
"""Root device of Amazon Linux images."""
USER_DATA = """#!/bin/bash
# A machine of a fruitscale run. It shuts down when its work ends, and after {minutes} minutes at the latest.
shutdown -h +{minutes}
log=$(mktemp)
exec >"$log" 2>&1
trap 'aws s3 cp --only-show-errors {encryption}"$log" {run}/logs/{role}-$(hostname).log || true; shutdown -h now' EXIT
set -eu
export AWS_DEFAULT_REGION={region} AWS_REGION={region} HOME=/root
boot=$(mktemp)
aws s3 cp --only-show-errors {boot} "$boot"
echo "{boot_sha256}  $boot" | sha256sum --check --strict --quiet
bash "$boot" {region} {bundle}
{python} -m fruitscale.clusters.machines.dask_machine {command}
"""


def image_parameter(cluster: Ec2Dask) -> dict[str, Any]:
    """Return the request for the latest Amazon Linux 2023 image of the cluster's CPU architecture."""
    return {"Name": IMAGE_PARAMETER.format(IMAGES[cluster.architecture])}


def security_group(launch: Launch, network: str) -> dict[str, Any]:
    """Return the request for a security group without inbound rules."""
    return {
        "GroupName": launch.name,
        "Description": "fruitscale: only the machines of one run",
        "VpcId": network,
        "TagSpecifications": _tags(launch, "security-group"),
    }


def among_themselves(group: str) -> dict[str, Any]:
    """Return the request that lets the machines of a group connect to each other."""
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 1024,
        "ToPort": 65535,
        "UserIdGroupPairs": [{"GroupId": group, "Description": "Dask, with TLS"}],
    }
    return {"GroupId": group, "IpPermissions": [rule]}


@dataclass(frozen=True)
class InstanceTemplate:
    """What all EC2 machines of a launch share: its settings, bundle, image id and security group id."""

    launch: Launch
    cluster: Ec2Dask
    bundle: UploadedBundle
    image: str
    group: str


def scheduler(template: InstanceTemplate, subnet: str) -> dict[str, Any]:
    """Return the request for the machine that runs the scheduler and the driver."""
    launch, cluster = template.launch, template.cluster
    command = [
        LEADER, "--run", launch.uri, "--region", launch.region, "--workers", str(cluster.workers),
        "--wait-seconds", str(cluster.boot_minutes * 60),
    ]  # fmt: skip
    request = _instances(template, subnet, cluster.scheduler_type, 1, command)
    return request | {"ClientToken": launch.token("scheduler", subnet)}


def workers(template: InstanceTemplate, subnet: str, machine_type: str, address: str) -> dict[str, Any]:
    """Return the all-or-nothing request for the workers, of one type in one subnet; `address` is the scheduler's."""
    launch, cluster = template.launch, template.cluster
    command = ["worker", "--run", launch.uri, "--region", launch.region, "--scheduler", f"tls://{address}:{PORT}"]
    request = _instances(template, subnet, machine_type, cluster.workers, command)
    if cluster.market == "spot":
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        request["TagSpecifications"] += _tags(launch, "spot-instances-request")
    return request | {"ClientToken": launch.token("workers", subnet, machine_type)}


def user_data(launch: Launch, bundle: UploadedBundle, command: list[str]) -> str:
    """Return a machine's start script. It holds no secret: every process on the machine can read it."""
    bundle_arguments = shlex.join([bundle.uri, *([bundle.wheels_uri] if bundle.wheels_uri else [])])
    return USER_DATA.format(
        minutes=max(1, -(-round(launch.lifetime_seconds) // 60)),
        encryption=_encryption(launch),
        run=launch.uri,
        role=command[0],
        region=shlex.quote(launch.region),
        boot=shlex.quote(f"{bundle.uri}/boot.sh"),
        boot_sha256=bundle.boot_sha256,
        bundle=bundle_arguments,
        python=f"{HOME}/bin/python",
        command=shlex.join(command),
    )


def _instances(
    template: InstanceTemplate, subnet: str, machine_type: str, count: int, command: list[str]
) -> dict[str, Any]:
    """Return a request for machines that run a command of dask_machine, whose first word is their role."""
    launch, cluster = template.launch, template.cluster
    network = {
        "DeviceIndex": 0,
        "SubnetId": subnet,
        "Groups": [template.group],
        "AssociatePublicIpAddress": False,
        "DeleteOnTermination": True,
    }
    metadata = {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1}
    return {
        "ImageId": template.image,
        "InstanceType": machine_type,
        "MinCount": count,
        "MaxCount": count,
        "IamInstanceProfile": _profile(cluster.instance_profile),
        "NetworkInterfaces": [network],
        "BlockDeviceMappings": [{"DeviceName": ROOT_DEVICE, "Ebs": _disk(cluster)}],
        "MetadataOptions": metadata,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "UserData": user_data(launch, template.bundle, command),
        "TagSpecifications": [
            tags
            for kind in ("instance", "volume", "network-interface")
            for tags in _tags(launch, kind, **{ROLE: command[0]})
        ],
    }


def _disk(cluster: Ec2Dask) -> dict[str, Any]:
    disk = {"VolumeSize": cluster.disk_gb, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    return disk | ({"KmsKeyId": cluster.disk_key} if cluster.disk_key else {})


def _encryption(launch: Launch) -> str:
    """Return the AWS CLI options that encrypt an uploaded object."""
    storage = launch.config.storage
    if storage.encryption is None:
        return ""
    options = ["--sse", "AES256"] if storage.encryption == "sse-s3" else ["--sse", "aws:kms"]
    if storage.kms_key:
        options += ["--sse-kms-key-id", storage.kms_key]
    return f"{shlex.join(options)} "


def _profile(name: str) -> dict[str, str]:
    return {"Arn": name} if name.startswith("arn:") else {"Name": name}


def _tags(launch: Launch, kind: str, **more: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": aws.tag_list({"Name": launch.name, **launch.tags, **more})}]
