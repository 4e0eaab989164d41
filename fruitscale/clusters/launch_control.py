"""Controls a launch after it has started: its status, its log, stop and resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fruitscale.clusters import cluster_run, monitoring, prices
from fruitscale.clusters import launch as launches
from fruitscale.clusters.cluster_run import LaunchResult, OnInterrupt
from fruitscale.clusters.launch import EXPIRES, Launch
from fruitscale.clusters.launcher import ClusterStatus
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.config.schema import Config
from fruitscale.display.events import Event, Observer
from fruitscale.errors import ClusterError, UsageError
from fruitscale.storage import residency


@dataclass(frozen=True)
class LaunchStatus:
    """The state of a launch: its cluster, the driver's progress, and its cost so far.

    `progress` is None before the driver's first report, `amount` (in `currency`) is None without a price. If
    `amount_is_limit`, it is the highest that it can be: EMR Serverless bills a job at its end.
    """

    launch: Launch
    cluster: ClusterStatus
    progress: Event | None
    machine_hours: float
    amount: float | None
    currency: str
    amount_is_limit: bool = False

    @property
    def expires(self) -> str:
        """The time (UTC) at which the machines end at the latest."""
        return self.launch.tags[EXPIRES]


def find(config: Config, launch_id: str | None = None) -> Launch:
    """Return a launch by id, or the latest launch of this config's output.

    Raises UsageError without storage.staging_uri, ResidencyError if its bucket is not allowed, ClusterError if there is
    no such launch.
    """
    if config.storage.staging_uri is None:
        raise UsageError("storage.staging_uri is not set.", "Pass the --config of the launch.")
    storage = residency.settle(config.storage)
    residency.check(storage, [config.storage.staging_uri])
    return launches.find(config.model_copy(update={"storage": storage}), launch_id)


def status(config: Config, launch_id: str | None = None) -> LaunchStatus:
    """Return the state of a launch (default: the latest of this config). Raises FruitscaleError."""
    launch = find(config, launch_id)
    cluster = launcher_of(launch).status()
    progress = monitoring.progress(launch)
    hours, amount = prices.spent(launch.cluster, cluster.machines)
    is_limit = prices.is_limit(launch.cluster, cluster.machines)
    return LaunchStatus(launch, cluster, progress, hours, amount, launch.cluster.prices.currency, is_limit)


def log(config: Config, launch_id: str | None = None) -> str:
    """Return the driver's log of a launch (default: the latest of this config).

    Raises ClusterError if there is no log yet, FruitscaleError otherwise.
    """
    launch = find(config, launch_id)
    text = monitoring.driver_log(launch, launcher_of(launch))
    if not text:
        raise ClusterError(f"Launch {launch.id} has no log yet.", "Try again once the driver has started.")
    return text


def stop(config: Config, launch_id: str | None = None, report: Callable[[str], None] = lambda _: None) -> Launch:
    """End the machines of a launch (default: the latest of this config) and return it; finished parts are kept.

    `report` receives one line per step. Raises FruitscaleError.
    """
    launch = find(config, launch_id)
    cluster_run.tear_down(launcher_of(launch), report)
    return launch


def resume(
    config: Config,
    launch_id: str | None = None,
    observer: Observer = lambda event: None,
    *,
    on_interrupt: OnInterrupt = cluster_run.stop_at_once,
    report: Callable[[str], None] = lambda _: None,
) -> LaunchResult:
    """Watch a launch that is still running; if it has ended, launch its run again, which resumes from its finished parts.

    Raises FruitscaleError.
    """
    launch = find(config, launch_id)
    launcher = launcher_of(launch)
    if launcher.status().outcome is None:
        return cluster_run.watch_until_end(launch, launcher, observer, on_interrupt)
    cluster_run.tear_down(launcher, report)
    return cluster_run.run(launch.config, observer, on_interrupt=on_interrupt)
