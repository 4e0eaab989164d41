"""A request to AWS, as data: a plan shows it, a launcher makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import Launch


@dataclass(frozen=True)
class Request:
    """An operation of a service, named as boto3 does, with its parameters."""

    service: str
    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """A machine as its service tells of it: `hours` from its launch until its end, or until now."""

    id: str
    type: str
    market: str
    state: str
    hours: float
    role: str = "worker"


@dataclass(frozen=True)
class ClusterStatus:
    """What is seen of a launch: `words` for a person; `outcome` is None while it lasts, `problem` why it failed."""

    words: str
    outcome: str | None = None
    """complete, failed or gone."""
    problem: str | None = None
    machines: tuple[Machine, ...] = ()


class Launcher(Protocol):
    """Makes the machines of one launch, looks at them and ends them."""

    launch: Launch

    def check(self) -> None:
        """Raise UsageError where the config lacks what a launch needs."""
        ...

    def requests(self, placed: UploadedBundle) -> list[Request]:
        """Return what `up` asks for, with placeholders for what only an answer tells."""
        ...

    def up(self, placed: UploadedBundle) -> None:
        """Make the machines; whoever calls it calls `down` in the end. Raises ClusterError."""
        ...

    def look(self) -> ClusterStatus:
        """Look at the machines, found by what they are tagged with or called."""
        ...

    def log(self) -> str:
        """Return what the service kept of the driver's output, or nothing."""
        ...

    def down(self) -> None:
        """End everything of the launch; again, it does what is left, and nothing where nothing is."""
        ...
