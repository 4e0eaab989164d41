"""Launches Dask on EC2: one machine for scheduler and driver, then the workers; all shut themselves down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from fruitscale.clusters import certificates, ec2_requests, job_files
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.ec2_requests import InstanceTemplate
from fruitscale.clusters.launch import RUN, Launch
from fruitscale.clusters.launcher import ClusterStatus, Machine, Request
from fruitscale.config.cluster_section import Ec2Dask
from fruitscale.errors import CapacityError, ClusterError, UsageError
from fruitscale.storage import aws

ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
END_SECONDS = 900
RUN_ATTEMPTS = 3
"""Attempts per subnet and type: EC2 reports a lack of capacity as a server error, which boto3 would retry for long."""
SENT_TWICE = ("InvalidGroup.Duplicate", "InvalidPermission.Duplicate")


class Ec2DaskLauncher:
    """Launches a Dask cluster on EC2 machines."""

    def __init__(self, launch: Launch) -> None:
        assert isinstance(launch.cluster, Ec2Dask)
        self.launch, self.cluster = launch, launch.cluster
        self._ec2 = aws.client("ec2", launch.config.storage)

    def requests(self, bundle: UploadedBundle) -> list[Request]:
        """Return the requests for the first subnet and worker type; `up` tries the others if capacity is lacking."""
        image, subnet = self.cluster.image or "<image>", self.cluster.subnets[0]
        group = self.cluster.security_group or "<security group>"
        made = []
        if self.cluster.image is None:
            made.append(Request("ssm", "get_parameter", ec2_requests.image_parameter(self.cluster)))
        if self.cluster.security_group is None:
            made.append(
                Request("ec2", "create_security_group", ec2_requests.security_group(self.launch, "<VPC of the subnet>"))
            )
            made.append(Request("ec2", "authorize_security_group_ingress", ec2_requests.among_themselves(group)))
        template = InstanceTemplate(self.launch, self.cluster, bundle, image, group)
        made.append(Request("ec2", "run_instances", ec2_requests.scheduler(template, subnet)))
        workers = ec2_requests.workers(template, subnet, self.cluster.worker_types[0], "<address of the scheduler>")
        return [*made, Request("ec2", "run_instances", workers)]

    def up(self, bundle: UploadedBundle) -> None:
        """Create the keys, the security group, the scheduler's machine and the workers."""
        pair = certificates.make(self.launch.name, f"{self.launch.name}.internal", self.cluster.max_hours)
        job_files.put_keys(self.launch, pair.for_dask())
        image = self.cluster.image or self._image()
        group = self.cluster.security_group or self._group()
        template = InstanceTemplate(self.launch, self.cluster, bundle, image, group)
        leader = self._run(ec2_requests.scheduler(template, subnet) for subnet in self.cluster.subnets)[0]
        address = leader["PrivateIpAddress"]
        subnets = [leader["SubnetId"], *(s for s in self.cluster.subnets if s != leader["SubnetId"])]
        self._run(
            ec2_requests.workers(template, subnet, machine_type, address)
            for machine_type in self.cluster.worker_types
            for subnet in subnets
        )

    def status(self) -> ClusterStatus:
        """Return the status of the machines, and the driver's exit status if it has ended."""
        machines = self.machines()
        ended = job_files.status(self.launch)
        states = [machine.state for machine in machines]
        running = states.count("running")
        text = f"EC2: {running} of {len(states)} machines running"
        if ended is not None:
            outcome = "complete" if ended.get("code") == 0 else "failed"
            return ClusterStatus(text, outcome, ended.get("error"), machines)
        if not any(state in ("pending", "running") for state in states):
            return ClusterStatus(text, "gone", "All machines ended, and the driver left no exit status.", machines)
        if any(m.role == ec2_requests.LEADER and m.state not in ("pending", "running") for m in machines):
            return ClusterStatus(
                text, "failed", "The scheduler's machine ended, and the driver left no exit status.", machines
            )
        return ClusterStatus(text, machines=machines)

    def machines(self) -> tuple[Machine, ...]:
        """Return the launch's machines, including ended ones that EC2 still lists."""
        found = sorted(self._instances(), key=lambda instance: (instance["LaunchTime"], instance["InstanceId"]))
        return tuple(_machine(instance) for instance in found)

    def log(self) -> str:
        """Return an empty string: EC2 keeps no copy of the driver's log."""
        return ""

    def down(self) -> None:
        """End the machines, then delete the security group and the keys."""
        end_machines(self._ec2, RUN, self.launch.id)
        for group in self._groups():
            remove_group(self._ec2, group)
        job_files.remove_keys(self.launch)

    def _image(self) -> str:
        ssm = aws.client("ssm", self.launch.config.storage)
        answer = aws.ask(ssm, "get_parameter", **ec2_requests.image_parameter(self.cluster))
        return str(answer["Parameter"]["Value"])

    def _group(self) -> str:
        """Create the security group, or return the one that an earlier request, whose response was lost, created."""
        answer = aws.ask(self._ec2, "describe_subnets", SubnetIds=[self.cluster.subnets[0]])
        request = ec2_requests.security_group(self.launch, answer["Subnets"][0]["VpcId"])
        _ignore_duplicate(lambda: aws.ask(self._ec2, "create_security_group", **request))
        group = self._groups()[0]
        rule = ec2_requests.among_themselves(group)
        _ignore_duplicate(lambda: aws.ask(self._ec2, "authorize_security_group_ingress", **rule))
        return group

    def _groups(self) -> list[str]:
        filters = [{"Name": f"tag:{RUN}", "Values": [self.launch.id]}]
        return [
            each["GroupId"]
            for each in aws.pages(self._ec2, "describe_security_groups", "SecurityGroups", Filters=filters)
        ]

    def _run(self, requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Make the first request that finds capacity; return its machines. Raises ClusterError."""
        refused: CapacityError | None = None
        ec2 = aws.client("ec2", self.launch.config.storage, RUN_ATTEMPTS)
        for request in requests:
            if len(request["UserData"]) > ec2_requests.MOST_USER_DATA:
                raise UsageError(
                    f"The machines' start script is longer than {ec2_requests.MOST_USER_DATA} bytes.",
                    "Shorten storage.staging_uri.",
                )
            try:
                made: list[dict[str, Any]] = aws.ask(ec2, "run_instances", **request)["Instances"]
            except CapacityError as error:
                refused = error
            else:
                return made
        assert refused is not None
        raise refused

    def _instances(self) -> list[dict[str, Any]]:
        filters = [{"Name": f"tag:{RUN}", "Values": [self.launch.id]}]
        found = aws.pages(self._ec2, "describe_instances", "Reservations", Filters=filters)
        return [instance for reservation in found for instance in reservation["Instances"]]


def end_machines(ec2: Any, tag: str, value: str) -> list[str]:  # noqa: ANN401
    """End the machines that have a tag, wait until they are gone, and return their ids."""
    filters = [{"Name": f"tag:{tag}", "Values": [value]}, {"Name": "instance-state-name", "Values": list(ALIVE)}]

    def alive() -> list[str]:
        found = aws.pages(ec2, "describe_instances", "Reservations", Filters=filters)
        return [instance["InstanceId"] for reservation in found for instance in reservation["Instances"]]

    ended = alive()
    if ended:
        aws.ask(ec2, "terminate_instances", InstanceIds=ended)
        aws.wait(lambda: not alive(), END_SECONDS, f"{len(ended)} machines have not ended")
    return ended


def remove_group(ec2: Any, group: str) -> None:  # noqa: ANN401
    """Delete a security group, waiting until its machines have released it."""

    def is_gone() -> bool:
        try:
            aws.ask(ec2, "delete_security_group", GroupId=group)
        except ClusterError as error:
            if aws.code(error) == "DependencyViolation":
                return False
            if not aws.is_absent(error):
                raise
        return True

    aws.wait(is_gone, END_SECONDS, f"The security group {group} could not be deleted")


def _ignore_duplicate(request: Callable[[], object]) -> None:
    try:
        request()
    except ClusterError as error:
        if aws.code(error) not in SENT_TWICE:
            raise


def _machine(instance: dict[str, Any]) -> Machine:
    ended = instance["State"]["Name"] in ("terminated", "shutting-down")
    until = _ended(instance) if ended else datetime.now(UTC)
    hours = max(0.0, (until - instance["LaunchTime"]).total_seconds() / 3600)
    market = instance.get("InstanceLifecycle") or "on-demand"
    role = aws.tag_dict(instance.get("Tags", [])).get(ec2_requests.ROLE, "worker")
    return Machine(instance["InstanceId"], instance["InstanceType"], market, instance["State"]["Name"], hours, role)


def _ended(instance: dict[str, Any]) -> datetime:
    """Return when a machine ended, from a text like `User initiated (2026-01-01 12:00:00 GMT)`."""
    text = instance.get("StateTransitionReason", "")
    try:
        stamp = text[text.index("(") + 1 : text.index(" GMT)")]
        return datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)
