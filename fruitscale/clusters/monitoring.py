"""Watches a launch: the driver's progress, read from the run folder, and the state of the machines at AWS."""

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

POLL_SECONDS = 6.0
GRACE_SECONDS, COST_GRACE_SECONDS = 900.0, 120.0
"""Machines still alive this long after their expiry are ended by whoever watches them; the second, if max_cost ends them."""
LAST_LINES = 20


def watch(launch: Launch, launcher: Launcher, observer: Observer, every_seconds: float = POLL_SECONDS) -> ClusterStatus:
    """Poll until the run has ended; return its last status. Failed polls are reported and retried."""
    event = Event("start", message="waiting for the machines")
    grace = COST_GRACE_SECONDS if launch.is_limited_by_cost else GRACE_SECONDS
    while True:
        try:
            status = launcher.status()
            event = progress(launch) or event
            observer(replace(event, message=status.text))
            if status.outcome is not None:
                return _final(launch, status)
        except FruitscaleError as error:  # the run itself goes on
            observer(replace(event, message=f"no status from AWS: {error.message.splitlines()[0]}"))
        if time.time() > launch.expires + grace:
            return ClusterStatus("expired", "failed", f"The machines outlived {launch.limit}.")
        time.sleep(every_seconds)


def progress(launch: Launch) -> Event | None:
    """Return the driver's latest progress; None before its first report (an older run's progress is ignored)."""
    store = S3Store(launch.config.output.uri, launch.config.storage).brief()
    try:
        values: dict[str, Any] = json.loads(store.read(run_folder.PROGRESS))
    except (FruitscaleError, ValueError):
        return None
    if values.get("time", 0) < launch.created or values.get("stage") not in STAGES:
        return None
    return Event(**{field.name: values[field.name] for field in fields(Event) if field.name in values})


def driver_log(launch: Launch, launcher: Launcher) -> str:
    """Return the driver's log from the staging area, or else the service's copy; empty if there is neither."""
    return job_files.log(launch) or launcher.log()


def last_lines(launch: Launch, launcher: Launcher, count: int = LAST_LINES) -> list[str]:
    """Return the last `count` lines of the driver's log; empty if there is no log."""
    try:
        text = driver_log(launch, launcher)
    except MissingObjectError:
        text = ""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def _final(launch: Launch, status: ClusterStatus) -> ClusterStatus:
    """Return the last status, corrected by the driver's exit status, if it left one."""
    ended = job_files.status(launch)
    if ended is None:
        return status
    if ended["code"] == 0:
        return replace(status, outcome="complete", problem=None)
    return replace(status, outcome="failed", problem=ended["error"] or status.problem)
