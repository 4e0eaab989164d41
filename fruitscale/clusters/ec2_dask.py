"""Dask on EC2: a machine with the scheduler and the driver, then the workers; all of them end by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from fruitscale.clusters import certificates, ec2_requests, job_files
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import RUN, Launch
from fruitscale.clusters.launcher import ClusterStatus, Machine, Request
from fruitscale.config.cluster_section import Ec2Dask
from fruitscale.errors import CapacityError, ClusterError, UsageError
from fruitscale.storage import aws

ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
END_SECONDS = 900
RUN_ATTEMPTS = 3
"""Times that machines are asked for in one place: where there is no capacity, EC2 answers as if it were a fault of its own."""
SENT_TWICE = ("InvalidGroup.Duplicate", "InvalidPermission.Duplicate")


class Ec2DaskLauncher:
    """Launches EC2 machines that make a Dask cluster."""

    def __init__(self, launch: Launch) -> None:
        assert isinstance(launch.cluster, Ec2Dask)
        self.launch, self.cluster = launch, launch.cluster
        self._ec2 = aws.client("ec2", launch.config.storage)

    def check(self) -> None:
        """Raise UsageError where the config lacks what a launch needs."""
        if not self.cluster.subnets:
            raise UsageError("cluster.subnets is not set.", "Name private subnets that reach S3.")

    def requests(self, placed: UploadedBundle) -> list[Request]:
        """Return what `up` asks for: first choices only, another subnet or type is tried where there is no capacity."""
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
        told = (self.launch, self.cluster, placed, image, group, subnet)
        made.append(Request("ec2", "run_instances", ec2_requests.scheduler(*told)))
        asked = ec2_requests.workers(*told, self.cluster.worker_types[0], "<address of the scheduler>")
        return [*made, Request("ec2", "run_instances", asked)]

    def up(self, placed: UploadedBundle) -> None:
        """Make the keys, the security group, the machine that leads, and the workers."""
        pair = certificates.make(self.launch.name, f"{self.launch.name}.internal", self.cluster.max_hours)
        job_files.put_keys(self.launch, pair.for_dask())
        image = self.cluster.image or self._image()
        group = self.cluster.security_group or self._group()

        def lead(subnet: str) -> dict[str, Any]:
            return ec2_requests.scheduler(self.launch, self.cluster, placed, image, group, subnet)

        leader = self._run(lead(subnet) for subnet in self.cluster.subnets)[0]
        address = leader["PrivateIpAddress"]

        def work(subnet: str, machine_type: str) -> dict[str, Any]:
            return ec2_requests.workers(self.launch, self.cluster, placed, image, group, subnet, machine_type, address)

        near = [leader["SubnetId"], *(s for s in self.cluster.subnets if s != leader["SubnetId"])]
        self._run(work(subnet, kind) for kind in self.cluster.worker_types for subnet in near)

    def look(self) -> ClusterStatus:
        """Look at the machines, and at what the driver left."""
        machines = self.machines()
        ended = job_files.status(self.launch)
        states = [machine.state for machine in machines]
        running = states.count("running")
        words = f"EC2: {running} of {len(states)} machines running"
        if ended is not None:
            outcome = "complete" if ended.get("code") == 0 else "failed"
            return ClusterStatus(words, outcome, ended.get("error"), machines)
        if not any(state in ("pending", "running") for state in states):
            return ClusterStatus(words, "gone", "All machines ended, and the driver left no word.", machines)
        if any(m.role == ec2_requests.LEADER and m.state not in ("pending", "running") for m in machines):
            return ClusterStatus(
                words, "failed", "The machine with the scheduler ended, and the driver left no word.", machines
            )
        return ClusterStatus(words, machines=machines)

    def machines(self) -> tuple[Machine, ...]:
        """Return the launch's machines, the ended ones too as long as EC2 knows them."""
        found = sorted(self._instances(), key=lambda told: (told["LaunchTime"], told["InstanceId"]))
        return tuple(_machine(told) for told in found)

    def log(self) -> str:
        """Return nothing: the driver's own log is all that there is."""
        return ""

    def down(self) -> None:
        """End the machines; then remove the security group and the keys."""
        end_machines(self._ec2, RUN, self.launch.id)
        for group in self._groups():
            remove_group(self._ec2, group)
        job_files.remove_keys(self.launch)

    def _image(self) -> str:
        ssm = aws.client("ssm", self.launch.config.storage)
        answer = aws.ask(ssm, "get_parameter", **ec2_requests.image_parameter(self.cluster))
        return str(answer["Parameter"]["Value"])

    def _group(self) -> str:
        """Make the security group; made before, by a request whose answer was lost, it is taken."""
        answer = aws.ask(self._ec2, "describe_subnets", SubnetIds=[self.cluster.subnets[0]])
        request = ec2_requests.security_group(self.launch, answer["Subnets"][0]["VpcId"])
        _once(lambda: aws.ask(self._ec2, "create_security_group", **request))
        group = self._groups()[0]
        rule = ec2_requests.among_themselves(group)
        _once(lambda: aws.ask(self._ec2, "authorize_security_group_ingress", **rule))
        return group

    def _groups(self) -> list[str]:
        filters = [{"Name": f"tag:{RUN}", "Values": [self.launch.id]}]
        return [
            each["GroupId"]
            for each in aws.pages(self._ec2, "describe_security_groups", "SecurityGroups", Filters=filters)
        ]

    def _run(self, requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Make machines by the first request for which there is capacity. Raises ClusterError."""
        refused: CapacityError | None = None
        ec2 = aws.client("ec2", self.launch.config.storage, RUN_ATTEMPTS)
        for request in requests:
            if len(request["UserData"]) > ec2_requests.MOST_USER_DATA:
                raise UsageError("The machines' start script is too long.", "Shorten storage.staging_uri.")
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
    """End the machines that have a tag, and wait until they are gone; return their ids."""
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
    """Remove a security group, which is possible a moment after its machines have ended."""

    def is_gone() -> bool:
        try:
            aws.ask(ec2, "delete_security_group", GroupId=group)
        except ClusterError as error:
            if aws.code(error) == "DependencyViolation":
                return False
            if not aws.is_absent(error):
                raise
        return True

    aws.wait(is_gone, END_SECONDS, f"The security group {group} can't be removed")


def _once(ask: Callable[[], object]) -> None:
    try:
        ask()
    except ClusterError as error:
        if aws.code(error) not in SENT_TWICE:
            raise


def _machine(told: dict[str, Any]) -> Machine:
    ended = told["State"]["Name"] in ("terminated", "shutting-down")
    until = _ended(told) if ended else datetime.now(UTC)
    hours = max(0.0, (until - told["LaunchTime"]).total_seconds() / 3600)
    market = told.get("InstanceLifecycle") or "on-demand"
    role = aws.tag_dict(told.get("Tags", [])).get(ec2_requests.ROLE, "worker")
    return Machine(told["InstanceId"], told["InstanceType"], market, told["State"]["Name"], hours, role)


def _ended(told: dict[str, Any]) -> datetime:
    """Return when a machine ended, which EC2 tells in words only: `User initiated (2026-01-01 12:00:00 GMT)`."""
    words = told.get("StateTransitionReason", "")
    try:
        stamp = words[words.index("(") + 1 : words.index(" GMT)")]
        return datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)
