"""Files exchanged with the driver through the launch's folder: job, TLS keys, exit status and log."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fruitscale.clusters import prices, run_estimate
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import JOB, KEYS, LOG, STATUS, Launch
from fruitscale.config.schema import Config
from fruitscale.errors import MissingObjectError


def put_job(launch: Launch, bundle: UploadedBundle) -> None:
    """Write the driver's job."""
    launch.store().write(JOB, (json.dumps(job_of(launch, bundle), indent=2) + "\n").encode())


def job_of(launch: Launch, bundle: UploadedBundle) -> dict[str, Any]:
    """Return the driver's job. Its config has no cluster section, so that the driver does not launch again."""
    return {
        "config": driver_config(launch.config).model_dump(mode="json"),
        "model_uri": bundle.model_uri,
        "until": launch.expires,
        "limit": launch.limit,
        "machines": machine_prices(launch),
    }


def driver_config(config: Config) -> Config:
    """Return the config without its cluster section."""
    return config.model_copy(update={"cluster": None})


def machine_prices(launch: Launch) -> dict[str, Any]:
    """Return the values from which the driver computes the cost of the run, and the estimate that it is compared with."""
    cluster, kms_key = launch.cluster, launch.config.storage.kms_key
    leader, worker, worker_at_most = prices.hourly(cluster)
    reading, unpriced = prices.requests(cluster, 1, kms_key)
    expected = run_estimate.try_estimate(launch.config, launch.images)
    return {
        "began": time.time(),
        "leader_hour": leader,
        "worker_hour": worker,
        "worker_hour_at_most": worker_at_most,
        "image": reading,
        "currency": cluster.prices.currency,
        "left_out": [*prices.left_out(prices.lines(cluster, kms_key)), *unpriced],
        "expected": None if isinstance(expected, str) else asdict(expected),
    }


def put_keys(launch: Launch, files: Mapping[str, bytes]) -> None:
    """Write the run's TLS keys; `remove_keys` deletes them at its end."""
    for name, content in files.items():
        launch.store().write(f"{KEYS}/{name}", content)


def remove_keys(launch: Launch) -> None:
    """Delete the run's TLS keys."""
    store = launch.store()
    for name in list(store.names(f"{KEYS}/")):
        store.delete(name)


def status(launch: Launch) -> dict[str, Any] | None:
    """Return the driver's exit status (code, error, time, page); None while it is running."""
    try:
        values: dict[str, Any] = json.loads(launch.store().read(STATUS))
    except (MissingObjectError, ValueError):
        return None
    return values


def log(launch: Launch) -> str:
    """Return the driver's log so far, or the machines' startup logs if the driver never started."""
    store = launch.store()
    try:
        return store.read(LOG).decode(errors="replace")
    except MissingObjectError:
        names = sorted(store.names("logs/"))
        return "".join(store.read(name).decode(errors="replace") for name in names)
