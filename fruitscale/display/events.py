"""Progress events of a run, and the list of its stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

Stage: TypeAlias = Literal["list", "export", "start", "featurize", "fit", "project", "finish", "report"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""Every stage, in the order of a run."""
TITLES: dict[Stage, str] = {
    "list": "List the photos",
    "export": "Export the model",
    "start": "Start the engine",
    "featurize": "Featurize",
    "fit": "Fit the PCA",
    "project": "Project",
    "finish": "Finish",
    "report": "Make the page",
}
UNITS: dict[Stage, str] = {
    "list": "image",
    "export": "model",
    "start": "engine",
    "featurize": "image",
    "fit": "group",
    "project": "part",
    "finish": "file",
    "report": "page",
}


@dataclass(frozen=True)
class Event:
    """A run's progress: `done` of `total` (None if unknown) in the stage's unit, and counts of images so far."""

    stage: Stage
    done: int = 0
    total: int | None = None
    rejected: int = 0
    resumed: int = 0
    message: str | None = None
    """A message, such as that the run waits for a service."""
    warning: str | None = None
    """A problem that does not fail the run."""
    unchanged: bool = False
    """The output holds this run already, complete and verified: nothing was done."""
    engine: str | None = None
    """Name, version and master of the engine, once it has started."""
    ui: str | None = None
    """The address of the engine's dashboard."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds of the stages done so far."""


Observer: TypeAlias = Callable[[Event], None]
