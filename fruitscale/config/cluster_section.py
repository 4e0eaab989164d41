"""The `cluster:` section of the config: temporary AWS machines for one run, one class per kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool

from fruitscale.config.section import Count, Section

Architecture: TypeAlias = Literal["x86_64", "aarch64"]
Price: TypeAlias = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
MOST_HOURS = 168


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What the GDPR audit checks of a cluster section; None: the section does not determine it.

    `roles` (names or ARNs) and `instance_profiles` are those of the machines that read photos. `public_addresses`:
    whether machines have any. `inbound`: whether anything outside the cluster may connect to them.
    """

    kind: str
    log_uri: str | None
    roles: tuple[str, ...]
    instance_profiles: tuple[str, ...]
    subnets: tuple[str, ...]
    disks_encrypted: bool | None
    transit_encrypted: bool | None
    public_addresses: bool | None
    inbound: bool | None
    imdsv2: bool | None
    max_hours: float
    disks_by_default: bool = False
    """Whether disks are encrypted only if the account encrypts all new ones."""


class Prices(Section):
    """List prices, for cost estimates and cluster.max_cost, and the date they were looked up."""

    date: str | None = None
    """The day the prices were looked up; null: they are only an example."""
    currency: str = "USD"
    """The currency of the prices."""
    machine_hour: dict[str, Price] = Field({})
    """By machine type: price of an on-demand machine per hour, without EMR's surcharge."""
    emr_hour: dict[str, Price] = Field({})
    """By machine type: EMR's surcharge per hour."""
    spot_fraction: float = Field(1.0, gt=0, le=1, strict=True)
    """Price of a spot machine as a fraction of machine_hour."""
    vcpu_hour: Price | None = None
    """EMR Serverless: price of a vCPU per hour."""
    gb_hour: Price | None = None
    """EMR Serverless: price of a GB of memory per hour."""
    storage_gb_hour: Price | None = None
    """EMR Serverless: price of a GB of a worker's disk per hour, beyond the 20 GB that are free."""
    disk_gb_month: Price | None = None
    """Price of a GB of a machine's gp3 disk per month."""
    key_month: Price | None = None
    """Price of a KMS key of your own per month."""
    s3_get_1000: Price | None = None
    """Price of reading 1,000 objects from S3."""
    kms_10000: Price | None = None
    """Price of 10,000 KMS requests."""


class _Cluster(Section):
    """Settings that all kinds share."""

    owner: str | None = Field(None, min_length=1)
    """Tag: the person responsible for the machines; null: the name of the user who launches."""
    purpose: str = Field("image features", min_length=1)
    """Tag: what the machines are for."""
    tags: dict[str, str] = Field({})
    """More tags, put on every resource that a launch creates."""
    subnets: tuple[str, ...] = ()
    """Private subnets, in the order in which they are tried."""
    architecture: Architecture = "x86_64"
    """CPU architecture of the machines."""
    vendor_wheels: StrictBool = False
    """Put the Python packages into the bundle, so that machines need no package index."""
    requirements: str | None = None
    """A hash-locked requirements file of your own; null: the versions installed here."""
    max_hours: float = Field(12, gt=0, le=MOST_HOURS, strict=True)
    """Maximum lifetime of the machines, in hours; they are then terminated in any case."""
    max_cost: float | None = Field(None, gt=0, strict=True, allow_inf_nan=False)
    """Maximum cost of a launch, in prices.currency: the run ends before (finished parts are kept); null: no limit."""
    log_uri: str | None = None
    """Where logs go; null: logs/ under storage.staging_uri."""
    disk_key: str | None = None
    """ARN of the KMS key of the machines' disks; null: the account's default key (EMR: if it encrypts all new disks)."""
    prices: Prices = Prices()


class Emr(_Cluster):
    """Spark on EMR, a cluster of machines."""

    kind: Literal["emr"]
    """emr, emr-serverless or ec2-dask."""
    release: str = "emr-7.13.0"
    """EMR's release, which brings Spark."""
    service_role: str = "EMR_DefaultRole_V2"
    """The role that EMR uses to launch machines."""
    instance_profile: str = "EMR_EC2_DefaultRole"
    """The instance profile of the machines: its role limits what they can read and write."""
    security_configuration: str | None = None
    """Name of your own; null: one is created for the run: TLS, disks encrypted with disk_key, IMDSv2."""
    primary_group: str | None = None
    """The security group of the primary machine; null: EMR's own."""
    worker_group: str | None = None
    """The security group of the other machines; null: EMR's own."""
    service_group: str | None = None
    """The security group of EMR's service in a private subnet; null: EMR's own."""
    primary_type: str = "m6i.xlarge"
    """The type of the primary machine, where the driver runs."""
    worker_types: tuple[str, ...] = Field(("c6i.2xlarge", "c5.2xlarge"), min_length=1)
    """Worker types of equal size: EMR picks those with capacity."""
    core: Count = 2
    """On-demand workers."""
    spot: Annotated[int, Field(ge=0, le=1000, strict=True)] = 6
    """Maximum number of additional spot workers; EMR scales them with the load."""
    executor_cores: Count = 4
    """Concurrent tasks per executor."""
    executor_memory_mb: Count = 1024
    """Java heap of an executor, in MB; Spark only schedules there."""
    python_mb: Count = 900
    """Memory of one Python worker, in MB (one worker per core, outside the Java heap)."""
    disk_gb: Annotated[int, Field(ge=15, le=100, strict=True)] = 64
    """Disk of a machine, in GB."""
    idle_minutes: Annotated[int, Field(ge=1, le=10080, strict=True)] = 15
    """EMR terminates a cluster that has been idle for this many minutes."""

    def facts(self) -> ClusterFacts:
        """Return what the audit checks; a security configuration of your own leaves encryption and IMDSv2 unknown."""
        by_us = None if self.security_configuration else True
        return ClusterFacts(
            kind=self.kind,
            log_uri=self.log_uri,
            roles=(),
            instance_profiles=(self.instance_profile,),
            subnets=self.subnets,
            disks_encrypted=by_us if self.disk_key else None,
            transit_encrypted=by_us,
            public_addresses=None,
            inbound=None,
            imdsv2=by_us,
            max_hours=self.max_hours,
            disks_by_default=self.disk_key is None and self.security_configuration is None,
        )


class EmrServerless(_Cluster):
    """Spark on EMR Serverless."""

    kind: Literal["emr-serverless"]
    """emr, emr-serverless or ec2-dask."""
    release: str = "emr-7.13.0"
    """EMR's release, which brings Spark."""
    application: str | None = None
    """Id of your own application; null: one is created for the run."""
    image: str | None = None
    """ECR address of your own container image with python3.11; null: EMR's image."""
    execution_role: str = ""
    """ARN of the job's role: it limits what the run can read and write."""
    security_groups: tuple[str, ...] = ()
    """Security groups of the workers, with subnets; without both, workers only reach S3 in the region."""
    executors: Count = 8
    """Maximum number of executors."""
    executor_cores: Literal[1, 2, 4, 8, 16] = 4
    """Concurrent tasks per executor; also the vCPUs of each executor and of the driver."""
    executor_memory_mb: Count = 1024
    """Java heap of an executor, in MB."""
    python_mb: Count = 1400
    """Memory of one Python worker, in MB (one worker per core)."""
    disk_gb: Annotated[int, Field(ge=20, le=200, strict=True)] = 20
    """Disk of a worker, in GB."""

    def facts(self) -> ClusterFacts:
        """Return what the audit checks: AWS encrypts the disks, and workers have no public address."""
        return ClusterFacts(
            kind=self.kind,
            log_uri=self.log_uri,
            roles=(self.execution_role,) if self.execution_role else (),
            instance_profiles=(),
            subnets=self.subnets,
            disks_encrypted=True,
            transit_encrypted=None,
            public_addresses=False,
            inbound=False,
            imdsv2=None,
            max_hours=self.max_hours,
        )


class Ec2Dask(_Cluster):
    """Dask on EC2 machines."""

    kind: Literal["ec2-dask"]
    """emr, emr-serverless or ec2-dask."""
    image: str | None = None
    """The AMI: Amazon Linux 2023 or similar, with the AWS CLI; null: AWS's newest."""
    instance_profile: str = "fruitscale-machine"
    """The instance profile of the machines: its role limits what they can read and write."""
    security_group: str | None = None
    """Your own; null: one is created for the run that only lets its machines connect to each other."""
    scheduler_type: str = "m6i.xlarge"
    """The type of the machine with the scheduler and the driver."""
    worker_types: tuple[str, ...] = Field(("c6i.2xlarge", "c5.2xlarge"), min_length=1)
    """Worker types, in the order in which they are tried."""
    workers: Annotated[int, Field(ge=1, le=1000, strict=True)] = 8
    """Number of worker machines."""
    market: Literal["on-demand", "spot"] = "on-demand"
    """Purchase option of the workers."""
    disk_gb: Annotated[int, Field(ge=8, le=16384, strict=True)] = 30
    """Disk of a machine, in GB."""
    boot_minutes: Annotated[int, Field(ge=1, le=120, strict=True)] = 15
    """How long the driver waits for all workers before it starts with those that have joined."""

    def facts(self) -> ClusterFacts:
        """Return what the audit checks: what the launch request sets; a security group of your own is unknown."""
        return ClusterFacts(
            kind=self.kind,
            log_uri=self.log_uri,
            roles=(),
            instance_profiles=(self.instance_profile,),
            subnets=self.subnets,
            disks_encrypted=True,
            transit_encrypted=True,
            public_addresses=False,
            inbound=None if self.security_group else False,
            imdsv2=True,
            max_hours=self.max_hours,
        )


Cluster: TypeAlias = Annotated[Emr | EmrServerless | Ec2Dask, Field(discriminator="kind")]
KINDS: Mapping[str, type[Section]] = MappingProxyType(
    {"emr": Emr, "emr-serverless": EmrServerless, "ec2-dask": Ec2Dask}
)
