"""Prices a launch, line by line, from the config's price table; a missing price is None, never a guess."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from fruitscale.clusters.executor_sizes import worker_gb
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless

AnyCluster: TypeAlias = Emr | EmrServerless | Ec2Dask
MONTH_HOURS = 720
"""Hours of a month of 30 days, as in AWS's own examples of what a GB-month costs."""
FREE_DISK_GB = 20
"""The part of an EMR Serverless worker's disk that costs nothing."""
EMR_VOLUMES = 2
"""Disks of disk_gb per EMR machine: the root volume, and the one that the instance fleets request."""


class UsedUnits(Protocol):
    """What EMR Serverless bills."""

    @property
    def vcpu_hours(self) -> float: ...  # noqa: D102
    @property
    def memory_gb_hours(self) -> float: ...  # noqa: D102
    @property
    def storage_gb_hours(self) -> float: ...  # noqa: D102


class UsedMachine(Protocol):
    """What the cost of a machine so far depends on."""

    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def market(self) -> str: ...  # noqa: D102
    @property
    def hours(self) -> float: ...  # noqa: D102
    @property
    def billed(self) -> UsedUnits | None: ...  # noqa: D102


@dataclass(frozen=True)
class PriceLine:
    """One line of a price: the maximum count of an item, and its price per hour (None if the table lacks it).

    `hour` is the highest price: spot machines at the on-demand price, to which EMR falls back. `low` is the price
    at spot_fraction. `missing` names the missing key of the table. Disks and keys are not `essential`: without a price,
    estimates leave them out and name them.
    """

    what: str
    count: int
    hour: float | None
    low: float | None
    missing: str | None = None
    essential: bool = True

    @property
    def total(self) -> float | None:
        """The highest price of all of them per hour."""
        return None if self.hour is None else self.hour * self.count


def lines(cluster: AnyCluster, kms_key: str | None = None) -> list[PriceLine]:
    """Return what a launch pays for, at most, with its prices per hour; `kms_key` is that of the buckets."""
    made = list(_serverless(cluster) if isinstance(cluster, EmrServerless) else _machines(cluster))
    n_keys = len({cluster.disk_key, kms_key} - {None})
    month = cluster.prices.key_month
    return made + ([_extra("KMS key", n_keys, month and month / MONTH_HOURS, "key_month")] if n_keys else [])


def at_most(made: Iterable[PriceLine]) -> float | None:
    """Return the highest price of all lines per hour; None if that of a machine is missing."""
    return _sum((line.count, line.hour, line.essential) for line in made)


def at_best(made: Iterable[PriceLine]) -> float | None:
    """Return the price of all lines per hour if all spot machines are available; None if that of a machine is missing."""
    return _sum((line.count, line.low, line.essential) for line in made)


def left_out(made: Iterable[PriceLine]) -> list[str]:
    """Return what has no price and is left out of the sums."""
    return [line.what for line in made if line.hour is None and not line.essential]


def hourly(cluster: AnyCluster) -> tuple[float | None, float | None, float | None]:
    """Return the price per hour of the driver's machine, of a worker at best, and of a worker at most.

    Disks are included if the table has their price. None: a machine's price is missing.
    """
    if isinstance(cluster, EmrServerless):
        vcpu, gb, disk = (line.hour and line.hour * line.count for line in _serverless(cluster))
        each = None if vcpu is None or gb is None else (vcpu + gb + (disk or 0.0)) / (cluster.executors + 1)
        return each, each, each
    disk_hour, leader = _disk_hour(cluster), _price(cluster, leader_type(cluster))
    leader = None if leader is None else leader + disk_hour
    if not (known := _priced(cluster)):
        return leader, None, None
    count, n_spot = _workers(cluster)
    spot = min(_price(cluster, worker, spot=True) or 0.0 for worker in known)
    best = (spot * n_spot + min(known.values()) * (count - n_spot)) / max(count, 1)
    return leader, best + disk_hour, max(known.values()) + disk_hour


def leader_type(cluster: Emr | Ec2Dask) -> str:
    """Return the type of the machine with the driver."""
    return cluster.primary_type if isinstance(cluster, Emr) else cluster.scheduler_type


def spent(cluster: AnyCluster, machines: Iterable[UsedMachine]) -> tuple[float, float | None]:
    """Return the total machine-hours and their price; the price is None if any machine's is unknown.

    An EMR Serverless job for which AWS has billed nothing yet counts as if all of its workers had run all the time.
    """
    hours, amount = 0.0, 0.0
    known = True
    for machine in machines:
        hours += machine.hours
        cost = _job(cluster, machine) if isinstance(cluster, EmrServerless) else _used(cluster, machine)
        known = known and cost is not None
        amount += cost or 0.0
    return hours, amount if known else None


def is_limit(cluster: AnyCluster, machines: Iterable[UsedMachine]) -> bool:
    """Return whether the price of what was used is only the highest that it can be."""
    return isinstance(cluster, EmrServerless) and any(machine.billed is None for machine in machines)


def requests(cluster: AnyCluster, images: int, kms_key: str | None) -> tuple[float, list[str]]:
    """Return the highest price of reading a number of photos from S3, and the requests that have no price."""
    table, amount, missing = cluster.prices, 0.0, []
    units = [("S3 requests", table.s3_get_1000, 1_000)]
    units += [("KMS requests", table.kms_10000, 10_000)] if kms_key else []
    for what, unit_price, unit in units:
        if unit_price is None:
            missing.append(what)
        else:
            amount += images / unit * unit_price
    return amount, missing


def n_workers(cluster: Emr | Ec2Dask) -> int:
    """Return the maximum number of workers."""
    return cluster.core + cluster.spot if isinstance(cluster, Emr) else cluster.workers


def _machines(cluster: Emr | Ec2Dask) -> Iterator[PriceLine]:
    is_emr = isinstance(cluster, Emr)
    known = _priced(cluster)
    leader, worker = leader_type(cluster), max(known or cluster.worker_types, key=lambda each: known.get(each, 0.0))
    count, n_spot = _workers(cluster)
    yield _machine(cluster, f"{'primary' if is_emr else 'scheduler'} {leader}", 1, leader)
    if count > n_spot:
        yield _machine(cluster, f"{'core' if is_emr else 'worker'} {worker}", count - n_spot, worker)
    if n_spot:
        yield _machine(cluster, f"spot {worker}, or on-demand", n_spot, worker, spot=True)
    for other in cluster.worker_types if known else ():
        if other not in known:
            table = "emr_hour" if other in cluster.prices.machine_hour else "machine_hour"
            yield _extra(f"{other}, another worker type", 0, None, f"{table}.{other}")
    if is_emr:
        yield _fee(cluster, leader, 1)
        yield _fee(cluster, worker, count)
    gb, month = _disk_gb(cluster) * (1 + count), cluster.prices.disk_gb_month
    yield _extra("GB of disk (gp3)", gb, month and month / MONTH_HOURS, "disk_gb_month")


def _machine(cluster: Emr | Ec2Dask, what: str, count: int, machine_type: str, *, spot: bool = False) -> PriceLine:
    table = cluster.prices
    hour = table.machine_hour.get(machine_type)
    low = hour and hour * (table.spot_fraction if spot else 1.0)
    missing = None if hour is not None else f"machine_hour.{machine_type}"
    return PriceLine(what, count, hour, low, missing)


def _fee(cluster: Emr | Ec2Dask, machine_type: str, count: int) -> PriceLine:
    hour = cluster.prices.emr_hour.get(machine_type)
    missing = None if hour is not None else f"emr_hour.{machine_type}"
    return PriceLine(f"EMR's fee for {machine_type}", count, hour, hour, missing)


def _serverless(cluster: EmrServerless) -> Iterator[PriceLine]:
    table, n_workers = cluster.prices, cluster.executors + 1
    for what, count, price, key in (
        ("vCPU", n_workers * cluster.executor_cores, table.vcpu_hour, "vcpu_hour"),
        ("GB of memory", n_workers * worker_gb(cluster), table.gb_hour, "gb_hour"),
    ):
        yield PriceLine(what, count, price, price, None if price is not None else key)
    extra_gb = n_workers * max(0, cluster.disk_gb - FREE_DISK_GB)
    yield _extra("GB of disk, beyond 20 GB per worker", extra_gb, table.storage_gb_hour if extra_gb else 0.0,
                 "storage_gb_hour")  # fmt: skip


def _extra(what: str, count: int, hour: float | None, key: str) -> PriceLine:
    return PriceLine(what, count, hour, hour, key if hour is None else None, essential=False)


def _workers(cluster: Emr | Ec2Dask) -> tuple[int, int]:
    """Return the maximum number of workers, and how many of them are requested as spot machines."""
    if isinstance(cluster, Emr):
        return n_workers(cluster), cluster.spot
    return n_workers(cluster), cluster.workers if cluster.market == "spot" else 0


def _priced(cluster: Emr | Ec2Dask) -> dict[str, float]:
    """Return the worker types that the table has, with their prices."""
    prices = {worker: _price(cluster, worker) for worker in cluster.worker_types}
    return {worker: price for worker, price in prices.items() if price is not None}


def _price(cluster: Emr | Ec2Dask, machine_type: str, *, spot: bool = False) -> float | None:
    """Return the price per hour of a machine including EMR's surcharge; None if the table lacks it."""
    table = cluster.prices
    machine = table.machine_hour.get(machine_type)
    extra = table.emr_hour.get(machine_type) if isinstance(cluster, Emr) else 0.0
    if machine is None or extra is None:
        return None
    return machine * (table.spot_fraction if spot else 1.0) + extra


def _used(cluster: Emr | Ec2Dask, machine: UsedMachine) -> float | None:
    """Return the price of a machine and its disks so far."""
    hour = _price(cluster, machine.type, spot=machine.market == "spot")
    return None if hour is None else machine.hours * (hour + _disk_hour(cluster))


def _job(cluster: EmrServerless, machine: UsedMachine) -> float | None:
    """Return the price of an EMR Serverless job so far: as billed, or at most."""
    table, billed = cluster.prices, machine.billed
    if billed is None:
        hour = at_most(_serverless(cluster))
        return None if hour is None else machine.hours * hour
    if table.vcpu_hour is None or table.gb_hour is None:
        return None
    storage = billed.storage_gb_hours * (table.storage_gb_hour or 0.0)
    return billed.vcpu_hours * table.vcpu_hour + billed.memory_gb_hours * table.gb_hour + storage


def _disk_gb(cluster: Emr | Ec2Dask) -> int:
    return cluster.disk_gb * (EMR_VOLUMES if isinstance(cluster, Emr) else 1)


def _disk_hour(cluster: Emr | Ec2Dask) -> float:
    return _disk_gb(cluster) * (cluster.prices.disk_gb_month or 0.0) / MONTH_HOURS


def _sum(parts: Iterable[tuple[int, float | None, bool]]) -> float | None:
    total = 0.0
    for count, hour, essential in parts:
        if hour is None and essential:
            return None
        total += count * (hour or 0.0)
    return total
