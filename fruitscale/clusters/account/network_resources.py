"""A network as CloudFormation resources: private subnets in two zones, and endpoints instead of the internet."""

from __future__ import annotations

from typing import Any

from fruitscale.clusters.account.setup_choices import SetupChoices
from fruitscale.clusters.emr_requests import MANAGED_POLICY_TAG
from fruitscale.storage import aws
from fruitscale.storage.partitions import ENDPOINT_PREFIX

NETWORK, RANGES = "10.20.0.0/16", ("10.20.0.0/20", "10.20.16.0/20")
ENDPOINTS = {"emr": ("elasticmapreduce", "kms"), "emr-serverless": (), "ec2-dask": ()}
"""Interface endpoints by kind of cluster, beside the gateway of S3: EMR's disk encryption calls KMS on the machines."""


def network(choices: SetupChoices) -> dict[str, Any]:
    """Return the network, by logical id; empty if no machines need one."""
    if not choices.has_network:
        return {}
    made: dict[str, Any] = {
        "Network": {
            "Type": "AWS::EC2::VPC",
            "Properties": {
                "CidrBlock": NETWORK,
                "EnableDnsSupport": True,
                "EnableDnsHostnames": True,
                **_tags(choices),
            },
        },
        "Routes": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Network"}, **_tags(choices)}},
        "StorageEndpoint": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcEndpointType": "Gateway",
                "ServiceName": f"{ENDPOINT_PREFIX}.${{AWS::Region}}.s3",
                "VpcId": {"Ref": "Network"},
                "RouteTableIds": [{"Ref": "Routes"}],
            },
        },
    }
    for number, addresses in enumerate(RANGES):
        made |= _subnet(choices, number, addresses)
    services = interface_endpoints(choices)
    if services:
        made["EndpointGroup"] = {"Type": "AWS::EC2::SecurityGroup", "Properties": _endpoint_group(choices)}
    return made | {f"{service.title()}Endpoint": _endpoint(service) for service in services}


def interface_endpoints(choices: SetupChoices) -> list[str]:
    """Return the services with an interface endpoint, which AWS charges by the hour; none with `minimal`."""
    if choices.minimal:
        return []
    return list(dict.fromkeys(service for kind in choices.kinds for service in ENDPOINTS[kind]))


def subnet_ids() -> list[str]:
    """Return the logical ids of the subnets."""
    return [f"Subnet{number}" for number in range(len(RANGES))]


def _subnet(choices: SetupChoices, number: int, addresses: str) -> dict[str, Any]:
    name = subnet_ids()[number]
    zone = {"Fn::Select": [number, {"Fn::GetAZs": choices.region}]}
    return {
        name: {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Network"},
                "CidrBlock": addresses,
                "AvailabilityZone": zone,
                "MapPublicIpOnLaunch": False,
                **_tags(choices),
            },
        },
        f"{name}Routes": {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"SubnetId": {"Ref": name}, "RouteTableId": {"Ref": "Routes"}},
        },
    }


def _endpoint_group(choices: SetupChoices) -> dict[str, Any]:
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "CidrIp": NETWORK,
        "Description": "HTTPS from machines",
    }
    return {
        "GroupDescription": "fruitscale: endpoints of AWS services",
        "VpcId": {"Ref": "Network"},
        "SecurityGroupIngress": [rule],
        **_tags(choices),
    }


def _endpoint(service: str) -> dict[str, Any]:
    """Return an endpoint in the first zone, which all subnets can reach: AWS charges for each zone."""
    return {
        "Type": "AWS::EC2::VPCEndpoint",
        "Properties": {
            "VpcEndpointType": "Interface",
            "ServiceName": f"{ENDPOINT_PREFIX}.${{AWS::Region}}.{service}",
            "VpcId": {"Ref": "Network"},
            "SubnetIds": [{"Ref": subnet_ids()[0]}],
            "SecurityGroupIds": [{"Ref": "EndpointGroup"}],
            "PrivateDnsEnabled": True,
        },
    }


def _tags(choices: SetupChoices) -> dict[str, Any]:
    """Return the tags: AmazonEMRServicePolicy_v2 allows EMR only networks and subnets that have this one."""
    return {"Tags": aws.tag_list({"Name": choices.stack, **MANAGED_POLICY_TAG})}
