"""What every kind of launcher can do, and the values it works with: requests, machines, cluster status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import Launch


@dataclass(frozen=True)
class Request:
    """A request to AWS as data: the boto3 names of its service and operation, and its parameters."""

    service: str
    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class BilledUse:
    """What EMR Serverless has billed for a job, in vCPU-hours and GB-hours."""

    vcpu_hours: float
    memory_gb_hours: float
    storage_gb_hours: float


@dataclass(frozen=True)
class Machine:
    """A machine as reported by its service; `hours` run from its launch to its end, or to now."""

    id: str
    type: str
    market: str
    state: str
    hours: float
    role: str = "worker"
    billed: BilledUse | None = None
    """Of an EMR Serverless job, which is one machine here, once AWS reports it."""


@dataclass(frozen=True)
class ClusterStatus:
    """The status of a launch: `text` for people, `outcome` (None while it runs), and `problem` if it failed."""

    text: str
    outcome: str | None = None
    """complete, failed or gone."""
    problem: str | None = None
    machines: tuple[Machine, ...] = ()


class Launcher(Protocol):
    """Creates the machines of one launch, reports their status and ends them."""

    launch: Launch

    def requests(self, bundle: UploadedBundle) -> list[Request]:
        """Return the requests that `up` makes, with placeholders for values known only from earlier answers."""
        ...

    def up(self, bundle: UploadedBundle) -> None:
        """Create the machines; the caller must call `down` afterwards, even on failure. Raises ClusterError."""
        ...

    def status(self) -> ClusterStatus:
        """Return the status of the machines, found by tag or name. Raises ClusterError."""
        ...

    def log(self) -> str:
        """Return the service's copy of the driver's log; empty if it has none."""
        ...

    def down(self) -> None:
        """End every resource of the launch. Safe to repeat."""
        ...
