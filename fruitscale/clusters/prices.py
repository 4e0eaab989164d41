"""Prices machines from the config's price table; a missing price is None, never a guess."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fruitscale.clusters.emr_requests import worker_gb
from fruitscale.clusters.launcher import Machine
from fruitscale.config.cluster_section import Ec2Dask, Emr, EmrServerless


@dataclass(frozen=True)
class PriceLine:
    """Machines of one kind: their maximum count, and the price of one per hour (None if the table lacks it)."""

    what: str
    count: int
    hour: float | None

    @property
    def total(self) -> float | None:
        """The price of all of them per hour."""
        return None if self.hour is None else self.hour * self.count


def lines(cluster: Emr | EmrServerless | Ec2Dask) -> list[PriceLine]:
    """Return the machines a launch creates at most, with their prices."""
    if isinstance(cluster, EmrServerless):
        return [
            PriceLine(
                f"worker of {cluster.executor_cores} vCPU, {worker_gb(cluster)} GB",
                cluster.executors + 1,
                _serverless(cluster),
            )
        ]
    worker = cluster.worker_types[0]
    if isinstance(cluster, Emr):
        made = [
            PriceLine(f"primary {cluster.primary_type}", 1, price(cluster, cluster.primary_type)),
            PriceLine(f"core {worker}", cluster.core, price(cluster, worker)),
        ]
        return made + (
            [PriceLine(f"spot {worker}", cluster.spot, price(cluster, worker, spot=True))] if cluster.spot else []
        )
    return [
        PriceLine(f"scheduler {cluster.scheduler_type}", 1, price(cluster, cluster.scheduler_type)),
        PriceLine(
            f"{cluster.market} worker {worker}", cluster.workers, price(cluster, worker, spot=cluster.market == "spot")
        ),
    ]


def hourly(cluster: Emr | EmrServerless | Ec2Dask) -> tuple[float | None, float | None]:
    """Return the price per hour of the driver's machine and the mean of the workers; None if unknown."""
    leader, *workers = lines(cluster)
    if not workers:
        return leader.hour, leader.hour
    if any(line.hour is None for line in workers):
        return leader.hour, None
    count = sum(line.count for line in workers)
    return leader.hour, sum(line.total or 0.0 for line in workers) / count


def price(cluster: Emr | Ec2Dask, machine_type: str, *, spot: bool = False) -> float | None:
    """Return the price per hour of a machine including EMR's surcharge; None if the table lacks it."""
    table = cluster.prices
    machine = table.machine_hour.get(machine_type)
    extra = table.emr_hour.get(machine_type) if isinstance(cluster, Emr) else 0.0
    if machine is None or extra is None:
        return None
    return machine * (table.spot_fraction if spot else 1.0) + extra


def spent(cluster: Emr | EmrServerless | Ec2Dask, machines: Iterable[Machine]) -> tuple[float, float | None]:
    """Return the total machine-hours and their price; the price is None if any machine's is unknown."""
    hours, amount = 0.0, 0.0
    known = True
    for machine in machines:
        hours += machine.hours
        hour = None
        if not isinstance(cluster, EmrServerless):
            hour = price(cluster, machine.type, spot=machine.market == "spot")
        known = known and hour is not None
        amount += machine.hours * (hour or 0.0)
    return hours, amount if known else None


def _serverless(cluster: EmrServerless) -> float | None:
    table = cluster.prices
    if table.vcpu_hour is None or table.gb_hour is None:
        return None
    return cluster.executor_cores * table.vcpu_hour + worker_gb(cluster) * table.gb_hour
