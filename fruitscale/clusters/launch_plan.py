"""Plans a launch without creating anything: its machines, price, checks and requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fruitscale.clusters import cluster_config, photo_count, prices, run_estimate
from fruitscale.clusters import launch as launches
from fruitscale.clusters.bundle import PLANNED
from fruitscale.clusters.ec2_requests import IMAGES
from fruitscale.clusters.emr_requests import MANAGED_POLICY_TAG
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import Request
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.clusters.prices import PriceLine
from fruitscale.clusters.run_estimate import RunEstimate
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless
from fruitscale.config.schema import Config
from fruitscale.errors import ClusterError, FruitscaleError, NothingNewError
from fruitscale.storage import aws, residency
from fruitscale.uris import parse_s3

ON_DEMAND_QUOTA, SPOT_QUOTA = "L-1216C47A", "L-34B43A08"
"""Service quota codes for running vCPUs of standard instances."""


class CheckVerdict(StrEnum):
    """The result of a check; "could not be checked" does not count as passed."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "could not be checked"


@dataclass(frozen=True)
class LaunchCheck:
    """One check, what it found, and how to fix a failure."""

    name: str
    verdict: CheckVerdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class LaunchPlan:
    """What a launch would create. Prices are None if cluster.prices lacks them.

    `estimate` is that for these photos, or why there is none; `most` is the highest price of a launch, and `hours` the time
    that it pays for: max_hours, or less with max_cost.
    """

    kind: str
    region: str
    lines: tuple[PriceLine, ...]
    checks: tuple[LaunchCheck, ...]
    requests: tuple[Request, ...]
    max_hours: float
    currency: str
    prices_date: str | None
    hours: float
    limit: str
    most: float | None
    estimate: RunEstimate | str

    @property
    def hour(self) -> float | None:
        """The maximum price per hour of all machines; None if a machine's price is missing."""
        return prices.at_most(self.lines)

    @property
    def left_out(self) -> list[str]:
        """What has no price, and is not in the sums."""
        unpriced = () if isinstance(self.estimate, str) else self.estimate.left_out
        return list(dict.fromkeys([*prices.left_out(self.lines), *unpriced]))

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check.verdict is CheckVerdict.FAIL for check in self.checks)


def plan(config: Config, measured: str | None = None) -> LaunchPlan:
    """Return what a launch of a config would create, with read-only checks; creates nothing. Raises FruitscaleError.

    `measured` is a run whose speed the estimate uses.
    """
    config = cluster_config.settle(config)
    photos, images = _photos(config)
    launch = launches.new(config, images)
    launcher = launcher_of(launch)
    launcher.check()
    cluster, kms_key, hours = launch.cluster, config.storage.kms_key, launch.lifetime_seconds / 3600
    return LaunchPlan(
        cluster.kind,
        launch.region,
        tuple(prices.lines(cluster, kms_key)),
        (photos, *_checks(launch)),
        tuple(launcher.requests(PLANNED)),
        cluster.max_hours,
        cluster.prices.currency,
        cluster.prices.date,
        hours,
        launch.limit,
        run_estimate.most(cluster, kms_key, images, hours),
        run_estimate.try_estimate(config, images, measured),
    )


def _photos(config: Config) -> tuple[LaunchCheck, int | None]:
    """Return the check of the listing, and the number of photos."""
    try:
        found = photo_count.count(config)
    except NothingNewError as nothing:
        return LaunchCheck("photos", CheckVerdict.PASS, f"{nothing.message} Nothing would be launched"), None
    except FruitscaleError as error:
        return LaunchCheck("photos", CheckVerdict.FAIL, error.message, error.hint or ""), None
    if found.images is None:
        return LaunchCheck("photos", CheckVerdict.UNKNOWN, found.problem), None
    return LaunchCheck("photos", CheckVerdict.PASS, f"{found.images:,} in {config.input.uri}"), found.images


def _checks(launch: Launch) -> Iterator[LaunchCheck]:
    cluster = launch.cluster
    yield from _buckets(launch)
    if isinstance(cluster, EmrServerless):
        name = cluster.execution_role.rpartition("/")[2]
        yield _try("role", lambda: _role(launch, name), name)
    else:
        yield _try("instance profile", lambda: _profile(launch, cluster), cluster.instance_profile)
    if isinstance(cluster, Emr):
        yield _try("service role", lambda: _role(launch, cluster.service_role), cluster.service_role)
        if cluster.security_configuration is not None:
            yield _try("security configuration", lambda: _configuration(launch), cluster.security_configuration)
    for subnet in cluster.subnets:
        yield _try(f"subnet {subnet}", lambda subnet=subnet: _subnet(launch, subnet), subnet)  # type: ignore[misc]
    if not isinstance(cluster, EmrServerless):
        yield from _machines(launch, cluster)


def _try(name: str, check: Callable[[], LaunchCheck], resource: str) -> LaunchCheck:
    """Run a check. It fails if AWS does not know the resource, and is "could not be checked" on any other error."""
    try:
        return check()
    except ClusterError as error:
        if aws.is_absent(error) or "does not exist" in error.message:
            return LaunchCheck(name, CheckVerdict.FAIL, f"{resource} does not exist", error.hint or "")
        hint = error.hint if aws.is_denied(error) else None
        return LaunchCheck(name, CheckVerdict.UNKNOWN, error.message, hint or "")


def _buckets(launch: Launch) -> Iterator[LaunchCheck]:
    config, log_uri = launch.config, launch.cluster.log_uri
    uris = [config.input.uri, config.output.uri, launches.staging_uri(config), *([log_uri] if log_uri else [])]
    for bucket in dict.fromkeys(parse_s3(uri).bucket for uri in uris):
        if config.storage.residency == "declared":
            yield LaunchCheck(f"bucket {bucket}", CheckVerdict.UNKNOWN, f"declared: {config.storage.place}")
            continue
        (verdict,) = residency.verdicts(config.storage, [f"s3://{bucket}"])
        if verdict.problem is not None:
            yield LaunchCheck(f"bucket {bucket}", CheckVerdict.FAIL, verdict.problem, verdict.remedy)
        else:
            yield LaunchCheck(f"bucket {bucket}", CheckVerdict.PASS, f"in {verdict.region}")


def _role(launch: Launch, name: str) -> LaunchCheck:
    found = aws.ask(aws.client("iam", launch.config.storage), "get_role", RoleName=name.rpartition("/")[2])["Role"]
    return LaunchCheck("role", CheckVerdict.PASS, found["Arn"])


def _profile(launch: Launch, cluster: Emr | Ec2Dask) -> LaunchCheck:
    name = cluster.instance_profile.rpartition("/")[2]
    iam = aws.client("iam", launch.config.storage)
    roles = aws.ask(iam, "get_instance_profile", InstanceProfileName=name)["InstanceProfile"]["Roles"]
    if not roles:
        return LaunchCheck(
            "instance profile",
            CheckVerdict.FAIL,
            f"{name} has no role",
            "Add one: aws iam add-role-to-instance-profile …",
        )
    return LaunchCheck("instance profile", CheckVerdict.PASS, f"{name} with the role {roles[0]['RoleName']}")


def _configuration(launch: Launch) -> LaunchCheck:
    assert isinstance(launch.cluster, Emr)
    emr = aws.client("emr", launch.config.storage)
    aws.ask(emr, "describe_security_configuration", Name=launch.cluster.security_configuration)
    return LaunchCheck("security configuration", CheckVerdict.PASS, f"{launch.cluster.security_configuration} exists")


def _subnet(launch: Launch, subnet: str) -> LaunchCheck:
    ec2 = aws.client("ec2", launch.config.storage)
    found = aws.ask(ec2, "describe_subnets", SubnetIds=[subnet])["Subnets"][0]
    name = f"subnet {subnet}"
    if found["MapPublicIpOnLaunch"]:
        return LaunchCheck(name, CheckVerdict.FAIL, "it assigns public addresses", "Use a private subnet.")
    if isinstance(launch.cluster, Emr) and launch.cluster.service_role == "EMR_DefaultRole_V2":
        key, value = next(iter(MANAGED_POLICY_TAG.items()))
        if aws.tag_dict(found.get("Tags", [])).get(key) != value:
            return LaunchCheck(
                name, CheckVerdict.FAIL, f"it lacks the tag {key}, which EMR_DefaultRole_V2 requires",
                f"aws ec2 create-tags --resources {subnet} --tags Key={key},Value={value}",
            )  # fmt: skip
    return LaunchCheck(name, CheckVerdict.PASS, f"private, in {found['AvailabilityZone']}")


def _machines(launch: Launch, cluster: Emr | Ec2Dask) -> Iterator[LaunchCheck]:
    leader = cluster.primary_type if isinstance(cluster, Emr) else cluster.scheduler_type
    types = list(dict.fromkeys([leader, *cluster.worker_types]))
    cores: dict[str, int] = {}

    def check_types() -> LaunchCheck:
        ec2 = aws.client("ec2", launch.config.storage)
        for described in aws.ask(ec2, "describe_instance_types", InstanceTypes=types)["InstanceTypes"]:
            if IMAGES[cluster.architecture] not in described["ProcessorInfo"]["SupportedArchitectures"]:
                return LaunchCheck(
                    "machines",
                    CheckVerdict.FAIL,
                    f"{described['InstanceType']} is not {cluster.architecture}",
                    "Set cluster.architecture, or another machine type.",
                )
            cores[described["InstanceType"]] = described["VCpuInfo"]["DefaultVCpus"]
        return LaunchCheck("machines", CheckVerdict.PASS, ", ".join(f"{name}: {n} vCPU" for name, n in cores.items()))

    yield _try("machines", check_types, f"a machine type among {', '.join(types)}")
    if not cores:
        return
    worker = max(cores.get(each, 0) for each in cluster.worker_types)
    on_demand, spot = cores[leader], 0
    if isinstance(cluster, Emr):
        on_demand, spot = on_demand + cluster.core * worker, cluster.spot * worker
    elif cluster.market == "spot":
        spot = cluster.workers * worker
    else:
        on_demand += cluster.workers * worker
    for name, code, needed in (("on-demand quota", ON_DEMAND_QUOTA, on_demand), ("spot quota", SPOT_QUOTA, spot)):
        if needed:
            yield _try(name, lambda name=name, code=code, needed=needed: _quota(launch, name, code, needed), name)  # type: ignore[misc]


def _quota(launch: Launch, name: str, code: str, needed: int) -> LaunchCheck:
    quotas = aws.client("service-quotas", launch.config.storage)
    answer: dict[str, Any] = aws.ask(quotas, "get_service_quota", ServiceCode="ec2", QuotaCode=code)
    value = answer["Quota"]["Value"]
    found = f"{needed} vCPU of {value:.0f}"
    if needed > value:
        return LaunchCheck(
            name,
            CheckVerdict.FAIL,
            found,
            "Use fewer machines, or request a higher quota in the Service Quotas console.",
        )
    return LaunchCheck(name, CheckVerdict.PASS, f"{found}; machines already running are not counted")
