"""What is asked of EC2 for a launch: pure functions from settings to requests, and what a machine does when it starts."""

from __future__ import annotations

import shlex
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
"""Of Amazon Linux."""
USER_DATA = """#!/bin/bash
# A machine of a fruitscale run. It ends after {minutes} minutes, whatever happens, and with its work.
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
    """Return the request for the newest Amazon Linux of the CPU."""
    return {"Name": IMAGE_PARAMETER.format(IMAGES[cluster.architecture])}


def security_group(launch: Launch, network: str) -> dict[str, Any]:
    """Return the request for a group in which, so far, nobody reaches anybody."""
    return {
        "GroupName": launch.name,
        "Description": "fruitscale: the machines of one run, and nobody else",
        "VpcId": network,
        "TagSpecifications": _tags(launch, "security-group"),
    }


def among_themselves(group: str) -> dict[str, Any]:
    """Return the request that lets the machines of the group reach each other."""
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 1024,
        "ToPort": 65535,
        "UserIdGroupPairs": [{"GroupId": group, "Description": "Dask, with TLS"}],
    }
    return {"GroupId": group, "IpPermissions": [rule]}


def scheduler(
    launch: Launch, cluster: Ec2Dask, placed: UploadedBundle, image: str, group: str, subnet: str
) -> dict[str, Any]:
    """Return the request for the machine with the scheduler and the driver."""
    command = [
        LEADER, "--run", launch.uri, "--region", launch.region, "--workers", str(cluster.workers),
        "--wait-seconds", str(cluster.boot_minutes * 60),
    ]  # fmt: skip
    data = user_data(launch, placed, command)
    request = _machines(launch, cluster, LEADER, image, group, subnet, cluster.scheduler_type, 1, data)
    return request | {"ClientToken": launch.token("scheduler", subnet)}


def workers(
    launch: Launch,
    cluster: Ec2Dask,
    placed: UploadedBundle,
    image: str,
    group: str,
    subnet: str,
    machine_type: str,
    address: str,
) -> dict[str, Any]:
    """Return the request for the workers: all of them, of one type in one subnet, or none."""
    command = ["worker", "--run", launch.uri, "--region", launch.region, "--scheduler", f"tls://{address}:{PORT}"]
    data = user_data(launch, placed, command)
    request = _machines(launch, cluster, "worker", image, group, subnet, machine_type, cluster.workers, data)
    if cluster.market == "spot":
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        request["TagSpecifications"] += _tags(launch, "spot-instances-request")
    return request | {"ClientToken": launch.token("workers", subnet, machine_type)}


def user_data(launch: Launch, placed: UploadedBundle, command: list[str]) -> str:
    """Return the script of a machine's start: without a secret, for everybody on the machine can read it."""
    bundle = shlex.join([placed.uri, *([placed.wheels_uri] if placed.wheels_uri else [])])
    return USER_DATA.format(
        minutes=max(1, -(-round(launch.cluster.max_hours * 3600) // 60)),
        encryption=_encryption(launch),
        run=launch.uri,
        role=command[0],
        region=shlex.quote(launch.region),
        boot=shlex.quote(f"{placed.uri}/boot.sh"),
        boot_sha256=placed.boot_sha256,
        bundle=bundle,
        python=f"{HOME}/bin/python",
        command=shlex.join(command),
    )


def _machines(
    launch: Launch,
    cluster: Ec2Dask,
    role: str,
    image: str,
    group: str,
    subnet: str,
    machine_type: str,
    count: int,
    data: str,
) -> dict[str, Any]:
    disk: dict[str, Any] = {
        "VolumeSize": cluster.disk_gb,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    if cluster.disk_key:
        disk["KmsKeyId"] = cluster.disk_key
    network = {
        "DeviceIndex": 0,
        "SubnetId": subnet,
        "Groups": [group],
        "AssociatePublicIpAddress": False,
        "DeleteOnTermination": True,
    }
    metadata = {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1}
    return {
        "ImageId": image,
        "InstanceType": machine_type,
        "MinCount": count,
        "MaxCount": count,
        "IamInstanceProfile": _profile(cluster.instance_profile),
        "NetworkInterfaces": [network],
        "BlockDeviceMappings": [{"DeviceName": ROOT_DEVICE, "Ebs": disk}],
        "MetadataOptions": metadata,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "UserData": data,
        "TagSpecifications": [
            tags for kind in ("instance", "volume", "network-interface") for tags in _tags(launch, kind, **{ROLE: role})
        ],
    }


def _encryption(launch: Launch) -> str:
    """Return the AWS CLI's words for how objects are encrypted."""
    storage = launch.config.storage
    if storage.encryption is None:
        return ""
    words = ["--sse", "AES256"] if storage.encryption == "sse-s3" else ["--sse", "aws:kms"]
    if storage.kms_key:
        words += ["--sse-kms-key-id", storage.kms_key]
    return f"{shlex.join(words)} "


def _profile(name: str) -> dict[str, str]:
    return {"Arn": name} if name.startswith("arn:") else {"Name": name}


def _tags(launch: Launch, kind: str, **more: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": aws.tag_list({"Name": launch.name, **launch.tags, **more})}]
