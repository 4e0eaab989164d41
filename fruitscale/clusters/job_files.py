"""What a launch puts beside its bundle for the driver, and what the driver tells back: files in the launch's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import JOB, KEYS, LOG, STATUS, Launch
from fruitscale.config.schema import Config
from fruitscale.errors import MissingObjectError


def put_job(launch: Launch, placed: UploadedBundle) -> None:
    """Write what the driver does: the config without its cluster, or it would launch again."""
    told = {
        "config": driver_config(launch.config).model_dump(mode="json"),
        "model_uri": placed.model_uri,
        "until": launch.expires,
        "machines": machines_told(launch),
    }
    launch.store().write(JOB, (json.dumps(told, indent=2) + "\n").encode())


def driver_config(config: Config) -> Config:
    """Return the config of the run as the driver has it."""
    return config.model_copy(update={"cluster": None})


def machines_told(launch: Launch) -> dict[str, Any]:
    """Return what the driver needs to say what the run cost: when it began, and what machines cost an hour."""
    from fruitscale.clusters.prices import hourly

    leader, worker = hourly(launch.cluster)
    return {
        "began": time.time(),
        "leader_hour": leader,
        "worker_hour": worker,
        "currency": launch.cluster.prices.currency,
    }


def put_keys(launch: Launch, files: Mapping[str, bytes]) -> None:
    """Write the keys of the run, which go at its end."""
    for name, content in files.items():
        launch.store().write(f"{KEYS}/{name}", content)


def remove_keys(launch: Launch) -> None:
    """Remove the keys of the run."""
    store = launch.store()
    for name in list(store.names(f"{KEYS}/")):
        store.delete(name)


def status(launch: Launch) -> dict[str, Any] | None:
    """Return how the driver ended; None while it hasn't."""
    try:
        told: dict[str, Any] = json.loads(launch.store().read(STATUS))
    except (MissingObjectError, ValueError):
        return None
    return told


def log(launch: Launch) -> str:
    """Return what the driver printed so far; where it never began, what the start of the machines printed."""
    store = launch.store()
    try:
        return store.read(LOG).decode(errors="replace")
    except MissingObjectError:
        names = sorted(store.names("logs/"))
        return "".join(store.read(name).decode(errors="replace") for name in names)
