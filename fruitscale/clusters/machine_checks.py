"""Checks the machine types of a launch: whether they exist, are offered, are large enough, and fit into the quotas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fruitscale.clusters.check_results import LaunchCheck, attempt, failed, passed
from fruitscale.clusters.ec2_requests import IMAGES, ROOT_DEVICE
from fruitscale.clusters.executor_sizes import executor_mb
from fruitscale.clusters.launch import Launch
from fruitscale.config.cluster_section import Ec2Dask, Emr
from fruitscale.storage import aws

ON_DEMAND_QUOTA, SPOT_QUOTA = "L-1216C47A", "L-34B43A08"
"""Service quota codes for running vCPUs of standard instances."""
PRIMARY_MB, SCHEDULER_MB = 7000, 1900
"""The least memory of the machine that runs the driver; EMR's own services take about 4 GB of it."""
WORKER_MB = 900
"""The least memory of a Dask worker machine, per vCPU."""
YARN_SHARE, MOST_RESERVED_MB = 0.75, 8192
"""EMR gives YARN three quarters of a machine's memory, and of large machines all but 8 GB."""


@dataclass(frozen=True)
class MachineType:
    """What EC2 reports of a machine type."""

    name: str
    vcpus: int
    memory_mb: int
    architectures: tuple[str, ...]

    @property
    def yarn_mb(self) -> int:
        """The memory that YARN has on an EMR machine of this type."""
        return int(max(self.memory_mb * YARN_SHARE, self.memory_mb - MOST_RESERVED_MB))


def find(launch: Launch, zones: set[str], *, unknown_release: bool = False) -> Iterator[LaunchCheck]:
    """Yield the checks of machine types, quotas and the image. `zones` are those of the subnets, if known."""
    cluster = launch.cluster
    assert isinstance(cluster, (Emr, Ec2Dask))
    known: dict[str, MachineType] = {}
    ec2 = aws.client("ec2", launch.config.storage)
    yield attempt("machines", lambda: _types(launch, cluster, ec2, known), ", ".join(_names(cluster)))
    if known:
        yield attempt("capacity pools", lambda: _offers(cluster, ec2, zones), "a machine type")
        if isinstance(cluster, Emr):
            if not unknown_release:
                yield attempt("EMR's machines", lambda: _supported(launch, cluster), cluster.release)
            yield _executor(cluster, known)
        yield from _quotas(launch, cluster, known)
    if isinstance(cluster, Ec2Dask) and cluster.image is not None:
        yield attempt("image", lambda: _image(launch, cluster, ec2), cluster.image)


def _names(cluster: Emr | Ec2Dask) -> list[str]:
    """Return the machine types of a cluster, the leader's first."""
    return list(dict.fromkeys([_leader(cluster), *cluster.worker_types]))


def _leader(cluster: Emr | Ec2Dask) -> str:
    return cluster.primary_type if isinstance(cluster, Emr) else cluster.scheduler_type


def _types(launch: Launch, cluster: Emr | Ec2Dask, ec2: Any, known: dict[str, MachineType]) -> LaunchCheck:  # noqa: ANN401
    """Check that all types exist, fit the CPU architecture and are large enough; fill `known`."""
    filters = [{"Name": "instance-type", "Values": _names(cluster)}]
    for described in aws.pages(ec2, "describe_instance_types", "InstanceTypes", Filters=filters):
        made = _machine_type(described)
        known[made.name] = made
    problems = [f"{name} does not exist in {launch.region}" for name in _names(cluster) if name not in known]
    problems += [each for machine in known.values() for each in _faults(cluster, machine)]
    if problems:
        return failed("machines", "; ".join(problems), "Use other machine types, or set cluster.architecture.")
    workers = [known[name] for name in cluster.worker_types]
    if isinstance(cluster, Emr) and len({machine.vcpus for machine in workers}) > 1:
        sizes = ", ".join(f"{machine.name} has {machine.vcpus} vCPU" for machine in workers)
        return failed("machines", f"EMR counts every worker type as one machine, but their sizes differ: {sizes}",
                      "List cluster.worker_types of one size.")  # fmt: skip
    return passed("machines", ", ".join(f"{m.name}: {m.vcpus} vCPU, {m.memory_mb / 1024:g} GB" for m in known.values()))


def _machine_type(described: dict[str, Any]) -> MachineType:
    return MachineType(
        described["InstanceType"],
        described["VCpuInfo"]["DefaultVCpus"],
        described["MemoryInfo"]["SizeInMiB"],
        tuple(described["ProcessorInfo"]["SupportedArchitectures"]),
    )


def _faults(cluster: Emr | Ec2Dask, machine: MachineType) -> Iterator[str]:
    if IMAGES[cluster.architecture] not in machine.architectures:
        yield f"{machine.name} is not {cluster.architecture}"
    needed = 0
    if machine.name == _leader(cluster):
        needed = PRIMARY_MB if isinstance(cluster, Emr) else SCHEDULER_MB
    if machine.name in cluster.worker_types and isinstance(cluster, Ec2Dask):
        needed = max(needed, WORKER_MB * machine.vcpus)
    if machine.memory_mb < needed:
        yield f"{machine.name} is too small: it has {machine.memory_mb} MB, and needs {needed} MB"


def _offers(cluster: Emr | Ec2Dask, ec2: Any, zones: set[str]) -> LaunchCheck:  # noqa: ANN401
    """Check that the subnets' zones offer the leader's type and at least one of the workers'."""
    filters = [{"Name": "instance-type", "Values": _names(cluster)}]
    found = aws.pages(
        ec2,
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=filters,
    )
    offered = {(each["Location"], each["InstanceType"]) for each in found}
    where = zones or {zone for zone, _ in offered}
    working = sorted(
        zone
        for zone in where
        if (zone, _leader(cluster)) in offered and any((zone, each) in offered for each in cluster.worker_types)
    )
    if not working:
        return failed(
            "capacity pools",
            f"no zone of the subnets ({', '.join(sorted(where))}) offers {_leader(cluster)} and a worker type",
            "Use other machine types or subnets.",
        )
    return passed("capacity pools", f"offered in {', '.join(working)}")


def _supported(launch: Launch, cluster: Emr) -> LaunchCheck:
    """Check that the release supports all types."""
    emr = aws.client("emr", launch.config.storage)
    answer = aws.ask(emr, "list_supported_instance_types", ReleaseLabel=cluster.release)
    types = [each["Type"] for each in answer["SupportedInstanceTypes"]]
    while answer.get("Marker"):
        answer = aws.ask(emr, "list_supported_instance_types", ReleaseLabel=cluster.release, Marker=answer["Marker"])
        types += [each["Type"] for each in answer["SupportedInstanceTypes"]]
    missing = [name for name in _names(cluster) if name not in types]
    if missing:
        found = f"{cluster.release} does not support {', '.join(missing)}"
        return failed("EMR's machines", found, "Use other machine types, or a later release.")
    return passed("EMR's machines", f"{cluster.release} supports them")


def _executor(cluster: Emr, known: dict[str, MachineType]) -> LaunchCheck:
    """Check that every worker type holds an executor: EMR may choose any of them."""
    needed = executor_mb(cluster)
    small = [
        m
        for m in known.values()
        if m.name in cluster.worker_types and (m.yarn_mb < needed or m.vcpus < cluster.executor_cores)
    ]
    if small:
        rooms = ", ".join(f"{m.name} has {m.vcpus} vCPU and {m.yarn_mb} MB for YARN" for m in small)
        return failed(
            "executor", f"it needs {cluster.executor_cores} vCPU and {needed} MB; {rooms}",
            "Use fewer cluster.executor_cores, a smaller cluster.python_mb, or larger machines.",
        )  # fmt: skip
    return passed("executor", f"{cluster.executor_cores} vCPU, {needed} MB")


def _quotas(launch: Launch, cluster: Emr | Ec2Dask, known: dict[str, MachineType]) -> Iterator[LaunchCheck]:
    worker = max((known[each].vcpus for each in cluster.worker_types if each in known), default=0)
    leader = known.get(_leader(cluster))
    on_demand, spot = leader.vcpus if leader else 0, 0
    if isinstance(cluster, Emr):
        on_demand, spot = on_demand + cluster.core * worker, cluster.spot * worker
    elif cluster.market == "spot":
        spot = cluster.workers * worker
    else:
        on_demand += cluster.workers * worker
    for name, code, needed in (("on-demand quota", ON_DEMAND_QUOTA, on_demand), ("spot quota", SPOT_QUOTA, spot)):
        if needed:
            yield attempt(name, lambda name=name, code=code, needed=needed: _quota(launch, name, code, needed), name)  # type: ignore[misc]


def _quota(launch: Launch, name: str, code: str, needed: int) -> LaunchCheck:
    quotas = aws.client("service-quotas", launch.config.storage)
    value = aws.ask(quotas, "get_service_quota", ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
    found = f"{needed} vCPU of {value:.0f}"
    if needed > value:
        return failed(name, found, "Use fewer machines, or request a higher quota in the Service Quotas console.")
    return passed(name, f"{found}; machines already running are not counted")


def _image(launch: Launch, cluster: Ec2Dask, ec2: Any) -> LaunchCheck:  # noqa: ANN401
    """Check that an AMI exists, fits the CPU architecture, and has the root device whose encryption is requested."""
    images = aws.ask(ec2, "describe_images", ImageIds=[cluster.image])["Images"]
    if not images:
        return failed(
            "image",
            f"{cluster.image} does not exist in {launch.region}",
            "Set cluster.image to an AMI of this region, or null.",
        )
    image, wanted = images[0], IMAGES[cluster.architecture]
    if image["Architecture"] != wanted:
        return failed(
            "image",
            f"{cluster.image} is {image['Architecture']}, not {wanted}",
            "Use another AMI, or set cluster.architecture.",
        )
    if image.get("RootDeviceName") != ROOT_DEVICE:
        found = f"its root device is {image.get('RootDeviceName')}, so its disk would not be encrypted as requested"
        return failed("image", found, f"Use an AMI whose root device is {ROOT_DEVICE}, such as Amazon Linux 2023.")
    return passed("image", f"{cluster.image}, {image['Architecture']}")
