"""What a run tells those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["list", "export", "start", "featurize", "fit", "project", "finish", "report"]
STAGES: tuple[Stage, ...] = ("list", "export", "start", "featurize", "fit", "project", "finish", "report")
UNITS: dict[Stage, str] = {
    "list": "images",
    "export": "models",
    "start": "engines",
    "featurize": "images",
    "fit": "groups",
    "project": "parts",
    "finish": "files",
    "report": "pages",
}


@dataclass(frozen=True)
class Event:
    """Where a run is: `done` of `total` (None: not known) in the stage's unit; counts of images so far."""

    stage: Stage
    done: int = 0
    total: int | None = None
    rejected: int = 0
    resumed: int = 0
    message: str | None = None
    """Something to tell in words: that it waits, that a service was slow."""
    warning: str | None = None
    """Something that went wrong, and is no reason for the run to fail."""
    engine: str | None = None
    """Name, version and master of what runs the tasks, once it is there."""
    ui: str | None = None
    """The address of the engine's own page."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of the stages that are done."""


Observer: TypeAlias = Callable[[Event], None]
