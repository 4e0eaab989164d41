"""Watches a launch from afar: the driver's progress, from the run folder, and what AWS says of the machines."""

from __future__ import annotations

import json
import time
from dataclasses import fields, replace
from typing import Any

from fruitscale.clusters import job_files
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import ClusterStatus, Launcher
from fruitscale.display.events import STAGES, Event, Observer
from fruitscale.errors import FruitscaleError, MissingObjectError
from fruitscale.runs import run_folder
from fruitscale.storage.s3 import S3Store

LOOK_SECONDS = 6.0
GRACE_SECONDS = 900.0
"""Machines that live so much longer than they should are ended from here."""
LAST_LINES = 20


def watch(launch: Launch, launcher: Launcher, observer: Observer, every_seconds: float = LOOK_SECONDS) -> ClusterStatus:
    """Look until the run has ended; return how. A look that fails is told, and made again."""
    event = Event("start", message="waiting for the machines")
    while True:
        try:
            sight = launcher.look()
            event = progress(launch) or event
            observer(replace(event, message=sight.words))
            if sight.outcome is not None:
                return _settled(launch, sight)
        except FruitscaleError as error:  # no reason to end a run that goes on without us
            observer(replace(event, message=f"AWS doesn't tell: {error.message.splitlines()[0]}"))
        if time.time() > launch.expires + GRACE_SECONDS:
            return ClusterStatus("it is over", "failed", "The machines live longer than cluster.max_hours.")
        time.sleep(every_seconds)


def progress(launch: Launch) -> Event | None:
    """Return where the driver is; None while it hasn't told, and when what is there is of another run."""
    store = S3Store(launch.config.output.uri, launch.config.storage).brief()
    try:
        told: dict[str, Any] = json.loads(store.read(run_folder.PROGRESS))
    except (FruitscaleError, ValueError):
        return None
    if told.get("time", 0) < launch.created or told.get("stage") not in STAGES:
        return None
    return Event(**{field.name: told[field.name] for field in fields(Event) if field.name in told})


def last_lines(launch: Launch, launcher: Launcher, count: int = LAST_LINES) -> list[str]:
    """Return the last lines that the driver printed, as far as they can be had."""
    try:
        text = job_files.log(launch) or launcher.log()
    except MissingObjectError:
        text = ""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def _settled(launch: Launch, sight: ClusterStatus) -> ClusterStatus:
    """Return the last sight, with what the driver left: it knows best how the run ended."""
    ended = job_files.status(launch)
    if ended is None:
        return sight
    if ended["code"] == 0:
        return replace(sight, outcome="complete", problem=None)
    return replace(sight, outcome="failed", problem=ended["error"] or sight.problem)
