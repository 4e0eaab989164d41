"""What can be said of a cluster that is made for a run: `cluster:` of the configuration, of one kind or another."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool

from fruitscale.config.section import Count, Section

Architecture: TypeAlias = Literal["x86_64", "aarch64"]
Price: TypeAlias = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
MOST_HOURS = 168


class Prices(Section):
    """What machines cost, for estimates: list prices that someone looked up, and when."""

    date: str | None = None
    """The day the prices were looked up; null: nobody did, and they are an example."""
    currency: str = "USD"
    """What they are in."""
    machine_hour: dict[str, Price] = Field({})
    """By machine type: an on-demand machine for an hour, without what EMR adds."""
    emr_hour: dict[str, Price] = Field({})
    """By machine type: what EMR adds for an hour."""
    spot_fraction: float = Field(1.0, gt=0, le=1, strict=True)
    """What a spot machine costs, as a fraction of machine_hour."""
    vcpu_hour: Price | None = None
    """EMR Serverless: a virtual CPU for an hour."""
    gb_hour: Price | None = None
    """EMR Serverless: a GB of memory for an hour."""


class _Cluster(Section):
    """What all kinds have."""

    owner: str | None = Field(None, min_length=1)
    """Who answers for the machines: a tag; null: the name of the user who launches."""
    purpose: str = Field("image features", min_length=1)
    """What for: a tag."""
    tags: dict[str, str] = Field({})
    """More tags, for everything that is made."""
    subnets: tuple[str, ...] = ()
    """Private subnets, in the order in which they are tried."""
    architecture: Architecture = "x86_64"
    """Of the machines' CPUs."""
    vendor_wheels: StrictBool = False
    """Put the Python packages into the bundle, so that machines need no package index."""
    requirements: str | None = None
    """A hash-locked requirements file of your own; null: one is made of the versions installed here."""
    max_hours: float = Field(12, gt=0, le=MOST_HOURS, strict=True)
    """Machines end after so many hours, whatever happens."""
    log_uri: str | None = None
    """Where logs go; null: logs/ under storage.staging_uri."""
    disk_key: str | None = None
    """The ARN of the KMS key of the machines' disks; null: the account's own for EBS, where the kind allows that."""
    prices: Prices = Prices()


class Emr(_Cluster):
    """Spark on EMR, a cluster of machines."""

    kind: Literal["emr"]
    """emr, emr-serverless or ec2-dask."""
    release: str = "emr-7.13.0"
    """EMR's release, which brings Spark."""
    service_role: str = "EMR_DefaultRole_V2"
    """The role with which EMR makes machines."""
    instance_profile: str = "EMR_EC2_DefaultRole"
    """The instance profile of the machines: what they may read and write."""
    security_configuration: str | None = None
    """One of yours, by name; null: one is made for the run, with TLS, disks encrypted with disk_key, and IMDSv2."""
    primary_group: str | None = None
    """The security group of the primary machine; null: EMR's own."""
    worker_group: str | None = None
    """The security group of the other machines; null: EMR's own."""
    service_group: str | None = None
    """The security group of EMR's service in a private subnet; null: EMR's own."""
    primary_type: str = "m6i.xlarge"
    """The type of the primary machine, where the driver runs."""
    worker_types: tuple[str, ...] = Field(("c6i.2xlarge", "c5.2xlarge"), min_length=1)
    """Types of the workers, of equal size: EMR takes what there is."""
    core: Count = 2
    """On-demand workers."""
    spot: Annotated[int, Field(ge=0, le=1000, strict=True)] = 6
    """Spot workers besides, at most; EMR makes as many as there is work for."""
    executor_cores: Count = 4
    """Tasks at once in an executor."""
    executor_memory_mb: Count = 1024
    """The Java heap of an executor: Spark only schedules there."""
    python_mb: Count = 900
    """Memory of one Python worker, one a core: the work is outside the heap."""
    disk_gb: Annotated[int, Field(ge=15, le=16384, strict=True)] = 64
    """The disk of a machine."""
    idle_minutes: Annotated[int, Field(ge=1, le=10080, strict=True)] = 15
    """EMR ends a cluster that has been idle so long."""

    @property
    def instance_profiles(self) -> tuple[str, ...]:
        """The instance profiles whose roles touch photos."""
        return (self.instance_profile,)

    @property
    def disks_encrypted(self) -> bool | None:
        """Whether disks are encrypted; None: the security configuration is somebody else's."""
        return None if self.security_configuration else True

    @property
    def transit_encrypted(self) -> bool | None:
        """Whether machines talk TLS to each other; None likewise."""
        return None if self.security_configuration else True

    @property
    def imdsv2(self) -> bool | None:
        """Whether instance metadata needs a session; None likewise."""
        return None if self.security_configuration else True


class EmrServerless(_Cluster):
    """Spark on EMR Serverless."""

    kind: Literal["emr-serverless"]
    """emr, emr-serverless or ec2-dask."""
    release: str = "emr-7.13.0"
    """EMR's release, which brings Spark."""
    application: str | None = None
    """The id of an application of yours; null: one is made for the run."""
    image: str | None = None
    """A container image of yours that has python3.11, by its ECR address; null: EMR's own."""
    execution_role: str = ""
    """The ARN of the role of the run: what it may read and write."""
    security_groups: tuple[str, ...] = ()
    """Of the workers, with subnets; without both they reach S3 of the region, and nothing else."""
    executors: Count = 8
    """Executors at most."""
    executor_cores: Literal[1, 2, 4, 8, 16] = 4
    """Tasks at once in an executor, and virtual CPUs of it and of the driver."""
    executor_memory_mb: Count = 1024
    """The Java heap of an executor."""
    python_mb: Count = 1400
    """Memory of one Python worker, one a core."""
    disk_gb: Annotated[int, Field(ge=20, le=200, strict=True)] = 20
    """The disk of a worker."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that touch photos."""
        return (self.execution_role,) if self.execution_role else ()

    @property
    def disks_encrypted(self) -> bool:
        """EMR Serverless encrypts the disks of its workers, with its own key or disk_key."""
        return True

    @property
    def public_addresses(self) -> bool:
        """Its workers have none."""
        return False

    @property
    def inbound(self) -> bool:
        """Nothing connects to them from outside."""
        return False


class Ec2Dask(_Cluster):
    """Dask on EC2 machines."""

    kind: Literal["ec2-dask"]
    """emr, emr-serverless or ec2-dask."""
    image: str | None = None
    """The AMI: an Amazon Linux 2023 or like it, with the AWS CLI; null: AWS's newest."""
    instance_profile: str = "fruitscale-machine"
    """The instance profile of the machines: what they may read and write."""
    security_group: str | None = None
    """One of yours; null: one is made for the run, in which its machines reach each other, and nobody else them."""
    scheduler_type: str = "m6i.xlarge"
    """The type of the machine with the scheduler and the driver."""
    worker_types: tuple[str, ...] = Field(("c6i.2xlarge", "c5.2xlarge"), min_length=1)
    """Types of the workers, in the order in which they are tried."""
    workers: Annotated[int, Field(ge=1, le=1000, strict=True)] = 8
    """Worker machines."""
    market: Literal["on-demand", "spot"] = "on-demand"
    """How workers are bought."""
    disk_gb: Annotated[int, Field(ge=8, le=16384, strict=True)] = 30
    """The disk of a machine."""
    boot_minutes: Annotated[int, Field(ge=1, le=120, strict=True)] = 15
    """How long the driver waits for all workers before it begins with those that are there."""

    @property
    def instance_profiles(self) -> tuple[str, ...]:
        """The instance profiles whose roles touch photos."""
        return (self.instance_profile,)

    @property
    def disks_encrypted(self) -> bool:
        """Every disk is, by its launch request."""
        return True

    @property
    def transit_encrypted(self) -> bool:
        """Dask's processes talk TLS, with certificates of the run."""
        return True

    @property
    def public_addresses(self) -> bool:
        """Machines are launched without."""
        return False

    @property
    def inbound(self) -> bool | None:
        """Whether somebody else may connect; None: the security group is somebody else's."""
        return None if self.security_group else False

    @property
    def imdsv2(self) -> bool:
        """Instance metadata needs a session, by the launch request."""
        return True


Cluster: TypeAlias = Annotated[Emr | EmrServerless | Ec2Dask, Field(discriminator="kind")]
KINDS: Mapping[str, type[Section]] = MappingProxyType(
    {"emr": Emr, "emr-serverless": EmrServerless, "ec2-dask": Ec2Dask}
)
