"""Checks the subnets and security groups of a launch: whether machines in them can reach what they need."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from fruitscale.clusters.check_results import LaunchCheck, attempt, failed, passed, unknown
from fruitscale.clusters.emr_requests import MANAGED_POLICY_TAG
from fruitscale.clusters.launch import Launch
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless
from fruitscale.storage import aws

MANAGED_ROLE = "EMR_DefaultRole_V2"
"""The role with AmazonEMRServicePolicy_v2, which only allows resources with MANAGED_POLICY_TAG."""
EMRS_GROUP = "ElasticMapReduce-Master-Private"
"""A security group that EMR creates in a VPC with its first cluster."""
ROUTERS = (
    "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "InstanceId", "NetworkInterfaceId", "CoreNetworkArn",
    "LocalGatewayId", "CarrierGatewayId",
)  # fmt: skip
"""Targets of a default route that forward packets of machines without a public address."""


def find(network: LaunchNetwork) -> Iterator[LaunchCheck]:
    """Yield the checks of a launch's subnets and security groups; none on EMR Serverless without a network."""
    for subnet in network.cluster.subnets:
        yield attempt(f"subnet {subnet}", lambda subnet=subnet: network.check_subnet(subnet), subnet)  # type: ignore[misc]
    if len(network.vpcs) > 1:
        yield failed("network", f"the subnets are in {len(network.vpcs)} VPCs", "List subnets of one VPC.")
    if network.subnets:
        yield from network.check_addresses()
    for group in network.groups:
        yield attempt(f"security group {group}", lambda group=group: network.check_group(group), group)  # type: ignore[misc]
    if network.needs_tag and len(network.vpcs) == 1:
        yield attempt("VPC", network.check_tag, network.vpcs[0])


class LaunchNetwork:
    """What the checks know about a launch's network; each request is made once."""

    def __init__(self, launch: Launch) -> None:
        self.launch, self.cluster = launch, launch.cluster
        self.subnets: list[dict[str, Any]] = []
        self._tables: dict[str, list[dict[str, Any]]] = {}
        self._endpoints: dict[str, list[dict[str, Any]]] = {}

    @cached_property
    def _ec2(self) -> Any:  # noqa: ANN401
        return aws.client("ec2", self.launch.config.storage)

    @property
    def vpcs(self) -> list[str]:
        """The VPCs of the subnets found so far."""
        return list(dict.fromkeys(subnet["VpcId"] for subnet in self.subnets))

    @property
    def groups(self) -> list[str]:
        """The security groups that the config names."""
        cluster = self.cluster
        if isinstance(cluster, Emr):
            named: tuple[str | None, ...] = (cluster.primary_group, cluster.worker_group, cluster.service_group)
        else:
            named = cluster.security_groups if isinstance(cluster, EmrServerless) else (cluster.security_group,)
        return list(dict.fromkeys(group for group in named if group))

    @property
    def needs_tag(self) -> bool:
        """Whether EMR may only use resources with the tag of its managed policy."""
        return isinstance(self.cluster, Emr) and self.cluster.service_role.rpartition("/")[2] == MANAGED_ROLE

    def check_subnet(self, name: str) -> LaunchCheck:
        """Check that machines in a subnet reach S3 and whatever else this config needs."""
        subnet = aws.ask(self._ec2, "describe_subnets", SubnetIds=[name])["Subnets"][0]
        self.subnets.append(subnet)
        check, (key, value) = f"subnet {name}", next(iter(MANAGED_POLICY_TAG.items()))
        if self.needs_tag and aws.tag_dict(subnet.get("Tags", [])).get(key) != value:
            return failed(
                check, f"it lacks the tag {key}, which {MANAGED_ROLE} requires",
                f"aws ec2 create-tags --resources {name} --tags Key={key},Value={value}",
            )  # fmt: skip
        table = self._table(subnet)
        way = _way_out(table)
        if way is not None:
            return passed(check, f"private, in {subnet['AvailabilityZone']}, with a route to {way}")
        gateway = _internet_gateway(table)
        if gateway and isinstance(self.cluster, Emr) and subnet["MapPublicIpOnLaunch"]:
            return passed(check, f"public, in {subnet['AvailabilityZone']}: machines get public addresses")
        return self._check_endpoints(check, subnet, table, gateway)

    def _check_endpoints(
        self, check: str, subnet: dict[str, Any], table: dict[str, Any], gateway: str | None
    ) -> LaunchCheck:
        """Check a subnet whose machines reach nothing but the VPC's endpoints."""
        why = (
            f"only a route to {gateway}, which machines without public addresses can't use"
            if gateway
            else "no route to the internet"
        )
        needed, useful = _services(self.cluster)
        missing = [name for name in needed if not self._has_endpoint(subnet["VpcId"], table, name)]
        if missing:
            return failed(
                check, f"it has {why}, and no endpoint for {', '.join(missing)}",
                "Add a route to a NAT gateway, or the endpoints (docs/gdpr.md: what a private subnet needs).",
            )  # fmt: skip
        if not isinstance(self.cluster, EmrServerless) and not self.cluster.vendor_wheels:
            return failed(
                check, f"it has {why}, so machines can't reach a package index",
                "Set cluster.vendor_wheels: true, or add a route to a NAT gateway.",
            )  # fmt: skip
        doubtful = [name for name in useful if not self._has_endpoint(subnet["VpcId"], table, name)]
        if doubtful:
            return unknown(check, f"it has {why}, and no endpoint for {', '.join(doubtful)}, which may be needed")
        return passed(check, f"private, in {subnet['AvailabilityZone']}, with endpoints for {', '.join(needed)}")

    def check_addresses(self) -> Iterator[LaunchCheck]:
        """Yield a failure if no subnet has enough addresses for all machines of the start."""
        cluster, free = self.cluster, max(subnet["AvailableIpAddressCount"] for subnet in self.subnets)
        needed = 1
        if isinstance(cluster, (Emr, Ec2Dask)):
            needed = 1 + cluster.core if isinstance(cluster, Emr) else cluster.workers
        if free < needed:
            found = f"{needed} machines start in one subnet, but the largest has {free} free addresses"
            yield failed("addresses", found, "Use a larger subnet, or fewer machines.")

    def check_group(self, group: str) -> LaunchCheck:
        """Check that a security group is in the subnets' VPC."""
        found = aws.ask(self._ec2, "describe_security_groups", GroupIds=[group])["SecurityGroups"][0]
        name, vpc = f"security group {group}", found.get("VpcId")
        if self.vpcs and vpc not in self.vpcs:
            return failed(
                name, f"it is in {vpc}, but the subnets are in {self.vpcs[0]}", "Use a group of the subnets' VPC."
            )
        return passed(name, f"in {vpc}")

    def check_tag(self) -> LaunchCheck:
        """Check that EMR may create its security groups in the VPC, unless they exist or the config names others."""
        vpc, (key, value) = self.vpcs[0], next(iter(MANAGED_POLICY_TAG.items()))
        tags = aws.ask(self._ec2, "describe_vpcs", VpcIds=[vpc])["Vpcs"][0].get("Tags", [])
        filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": [EMRS_GROUP]}]
        if self.groups or aws.tag_dict(tags).get(key) == value:
            return passed("VPC", vpc)
        if aws.ask(self._ec2, "describe_security_groups", Filters=filters)["SecurityGroups"]:
            return passed("VPC", f"{vpc} has EMR's security groups")
        return failed(
            "VPC", f"{vpc} lacks the tag {key}, which {MANAGED_ROLE} requires to create security groups",
            f"aws ec2 create-tags --resources {vpc} --tags Key={key},Value={value}",
        )  # fmt: skip

    def _table(self, subnet: dict[str, Any]) -> dict[str, Any]:
        """Return the route table of a subnet: its own, else the VPC's main one."""
        vpc = subnet["VpcId"]
        if vpc not in self._tables:
            filters = [{"Name": "vpc-id", "Values": [vpc]}]
            self._tables[vpc] = list(aws.pages(self._ec2, "describe_route_tables", "RouteTables", Filters=filters))
        own = main = None
        for table in self._tables[vpc]:
            for association in table["Associations"]:
                own = table if association.get("SubnetId") == subnet["SubnetId"] else own
                main = table if association.get("Main") else main
        return own or main or {"RouteTableId": "", "Routes": []}

    def _has_endpoint(self, vpc: str, table: dict[str, Any], service: str) -> bool:
        """Return whether machines that use a route table reach a service through an endpoint of the VPC."""
        if vpc not in self._endpoints:
            filters = [{"Name": "vpc-id", "Values": [vpc]}]
            self._endpoints[vpc] = list(aws.pages(self._ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=filters))
        for endpoint in self._endpoints[vpc]:
            named = endpoint["ServiceName"].endswith(f".{self.launch.region}.{service}")
            if named and endpoint.get("State", "available").lower() == "available":
                gateway = endpoint.get("VpcEndpointType") == "Gateway"
                if (
                    table["RouteTableId"] in endpoint.get("RouteTableIds", ())
                    if gateway
                    else endpoint.get("PrivateDnsEnabled")
                ):
                    return True
        return False


def _services(cluster: Emr | EmrServerless | Ec2Dask) -> tuple[list[str], list[str]]:
    """Return the services that machines call, and those that AWS may call from the subnet.

    S3 and EBS call KMS on their side. EMR's own disk encryption calls it on the machines.
    """
    if isinstance(cluster, Emr):
        return ["s3", *(["kms"] if cluster.disk_key else [])], ["elasticmapreduce"]
    if isinstance(cluster, EmrServerless):
        return ["s3"], ["ecr.api", "ecr.dkr"] if cluster.image else []
    return ["s3"], []


def _defaults(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the working default routes of a route table."""
    return [
        r for r in table["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0" and r.get("State") != "blackhole"
    ]


def _way_out(table: dict[str, Any]) -> str | None:
    """Return the target of a default route that machines without public addresses can use."""
    for route in _defaults(table):
        target = next((route[key] for key in ROUTERS if route.get(key)), route.get("GatewayId", "igw-"))
        if not target.startswith("igw-"):
            return str(target)
    return None


def _internet_gateway(table: dict[str, Any]) -> str | None:
    gateways = (route.get("GatewayId") or "" for route in _defaults(table))
    return next((gateway for gateway in gateways if gateway.startswith("igw-")), None)
