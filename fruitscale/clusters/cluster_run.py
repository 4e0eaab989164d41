"""Runs a config on a temporary cluster: launches the machines, watches the run, and always removes the machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fruitscale.clusters import bundle, cluster_config, cost_limit, job_files, launch_checks, photo_count
from fruitscale.clusters import launch as launches
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import ClusterStatus, Launcher
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.clusters.monitoring import POLL_SECONDS, last_lines, watch
from fruitscale.config.schema import Config
from fruitscale.display.events import Event, Observer
from fruitscale.errors import ClusterError, FruitscaleError, InterruptedRunError
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage.s3 import S3Store

APPEARS_SECONDS = 3.0
"""How long AWS may take to list a new resource."""
OnInterrupt: TypeAlias = Callable[[Launch], Literal["detach", "stop"]]


@dataclass(frozen=True)
class LaunchResult:
    """A launch and its run's record; `record` is None if the run continues unwatched. `has_page`: it has a report.html."""

    launch: Launch
    record: RunRecord | None
    has_page: bool = False


def stop_at_once(_: Launch) -> Literal["detach", "stop"]:
    """Return "stop": the answer to an interrupt when there is nobody to ask."""
    return "stop"


def run(
    config: Config,
    observer: Observer = lambda event: None,
    *,
    detach: bool = False,
    on_interrupt: OnInterrupt = stop_at_once,
    every_seconds: float = POLL_SECONDS,
) -> LaunchResult:
    """Launch a run, watch it until it ends, and remove its machines.

    Raises FruitscaleError; the machines have then been removed, unless the message says otherwise. NothingNewError: there
    are no new photos, so nothing was launched, and the output has no run.
    """
    config = cluster_config.settle(config)
    launch_checks.refuse(launches.new(config))

    def report(text: str) -> None:
        observer(Event("start", message=text))

    try:
        launch = launches.new(config, _count(config, observer))
        launcher = launcher_of(launch)
        uploaded = bundle.upload(config, report)
        launch.save()
        job_files.put_job(launch, uploaded)
    except KeyboardInterrupt:
        raise InterruptedRunError("Stopped before anything was launched.") from None
    _start(launcher, uploaded, report)
    if detach:
        return LaunchResult(launch, None)
    return watch_until_end(launch, launcher, observer, on_interrupt, every_seconds)


def watch_until_end(
    launch: Launch,
    launcher: Launcher,
    observer: Observer = lambda event: None,
    on_interrupt: OnInterrupt = stop_at_once,
    every_seconds: float = POLL_SECONDS,
) -> LaunchResult:
    """Watch a launch until it ends, and remove its machines. Raises FruitscaleError."""

    def report(text: str) -> None:
        observer(Event("finish", message=text))

    try:
        status = watch(launch, launcher, observer, every_seconds)
    except KeyboardInterrupt:
        if on_interrupt(launch) == "detach":
            return LaunchResult(launch, None)
        tear_down(launcher, report)
        raise InterruptedRunError(
            "Stopped; the machines were ended.", f"Resume it: fruitscale cluster resume {launch.id}"
        ) from None
    except BaseException as error:
        tear_down(launcher, report, error)
        raise
    lines = [] if status.outcome == "complete" else last_lines(launch, launcher)
    tear_down(launcher, report)
    return _result(launch, status, lines)


def tear_down(launcher: Launcher, report: Callable[[str], None], cause: BaseException | None = None) -> None:
    """End the machines of a launch. The first interrupt is reported and ignored, the second raised. Raises ClusterError."""
    report("ending the machines")
    try:
        try:
            launcher.down()
        except KeyboardInterrupt:
            report("still ending the machines; a second Ctrl-C leaves them to `fruitscale cluster reap`")
            launcher.down()
    except FruitscaleError as error:
        before = f"{cause}\n" if isinstance(cause, FruitscaleError) else ""
        raise ClusterError(
            f"{before}The machines could not be ended: {error.message}",
            f"They shut down after {launcher.launch.limit}. To end them now: fruitscale cluster stop {launcher.launch.id}",
        ) from error


def _count(config: Config, observer: Observer) -> int | None:
    """Return the number of photos; None, with a warning, if they can't be listed from here."""
    assert config.cluster is not None
    found = photo_count.count(config, observer)
    if found.images is None:
        observer(Event("list", warning=f"The photos were not counted before the launch: {found.problem}"))
    cost_limit.check(config.cluster, config.storage.kms_key, found.images or 0)
    return found.images


def _start(launcher: Launcher, uploaded: UploadedBundle, report: Callable[[str], None]) -> None:
    """Start the machines; on failure, remove whatever was started."""
    try:
        report("requesting the machines")
        launcher.up(uploaded)
    except BaseException as error:
        tear_down(launcher, report, error)
        time.sleep(APPEARS_SECONDS)
        tear_down(launcher, report, error)  # AWS may list the last resource late
        if isinstance(error, KeyboardInterrupt):
            raise InterruptedRunError("Stopped; everything that had been launched was ended.") from None
        raise


def _result(launch: Launch, status: ClusterStatus, lines: list[str]) -> LaunchResult:
    """Return the result of a run that has ended. Raises ClusterError unless it is complete."""
    if status.outcome == "complete":
        record = RunFolder(S3Store(launch.config.output.uri, launch.config.storage)).read_record()
        if record is not None:
            ended = job_files.status(launch) or {}
            return LaunchResult(launch, record, bool(ended.get("page")))
        raise ClusterError(
            "The cluster reports a complete run, but its folder has no run.json.",
            f"See the driver's log: fruitscale cluster logs {launch.id}",
        )
    log = "".join(f"\n  {line}" for line in lines)
    excerpt = f" Last lines of the log:{log}" if lines else ""
    raise ClusterError(
        f"The run on the cluster failed: {status.problem}{excerpt}",
        f"Full log: fruitscale cluster logs {launch.id}. "
        f"Finished parts are kept; to resume: fruitscale cluster resume {launch.id}",
    )
