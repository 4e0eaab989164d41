"""A run on a cluster, from here: made, watched, and torn down at the end, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fruitscale.clusters import bundle, job_files
from fruitscale.clusters import launch as launches
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import ClusterStatus, Launcher
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.clusters.monitoring import LOOK_SECONDS, last_lines, watch
from fruitscale.config.schema import Config
from fruitscale.display.events import Event, Observer
from fruitscale.errors import ClusterError, FruitscaleError, InterruptedRunError, UsageError
from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.findings import AuditVerdict
from fruitscale.pipeline.input_listing import check_uris
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage import residency
from fruitscale.storage.s3 import S3Store
from fruitscale.uris import is_s3

ENGINES = {"emr": "spark", "emr-serverless": "spark", "ec2-dask": "dask"}
APPEARS_SECONDS = 3.0
"""How long AWS may take to show what was just made."""
OnInterrupt: TypeAlias = Callable[[Launch], Literal["detach", "stop"]]


@dataclass(frozen=True)
class LaunchResult:
    """A launch as it was left: with the run's record, or going on without us (`record` is None)."""

    launch: Launch
    record: RunRecord | None


def stop_at_once(_: Launch) -> Literal["detach", "stop"]:
    """Answer an interrupt where nobody can be asked."""
    return "stop"


def settle(config: Config) -> Config:
    """Check what a launch needs of a config, and where its buckets are; return it settled. Raises FruitscaleError."""
    cluster = config.cluster
    if cluster is None:
        raise UsageError("This config has no cluster.", "See configs/emr.yaml and configs/ec2-dask.yaml.")
    check_uris(config)
    staging = config.storage.staging_uri
    if staging is None:
        raise UsageError(
            "storage.staging_uri is not set: the machines of a cluster find there what they install.",
            "Give s3://bucket/prefix.",
        )
    uris = {"input.uri": config.input.uri, "output.uri": config.output.uri, "storage.staging_uri": staging}
    uris |= {"input.list": config.input.list} if config.input.list else {}
    uris |= {"pca.run": config.pca.run} if config.pca.run else {}
    uris |= {f"input.new_since[{index}]": run for index, run in enumerate(config.input.new_since)}
    for key, uri in uris.items():
        if not is_s3(uri):
            raise UsageError(
                f"{key} is {uri}, which the machines of a cluster can't reach.", "Give s3://bucket/prefix."
            )
    if config.engine != ENGINES[cluster.kind]:
        raise UsageError(
            f"engine is {config.engine}, and {cluster.kind} runs {ENGINES[cluster.kind]}.", "Change one of them."
        )
    if config.output.paths == "hashed":
        raise UsageError(
            "output.paths: hashed needs a key that only this machine has.", "Run it here, or with output.paths: plain."
        )
    storage = residency.settle(config.storage)
    uris |= {"cluster.log_uri": cluster.log_uri} if cluster.log_uri else {}
    residency.check(storage, uris.values())
    return config.model_copy(update={"storage": storage})


def check_audit(config: Config) -> None:
    """Raise ClusterError where the audit of a settled config fails, and the config doesn't say that this is let pass."""
    failed = audit(config).of(AuditVerdict.FAIL) if config.gdpr.enforce else ()
    if failed:
        raise ClusterError(
            f"The audit fails, so nothing is launched: {'; '.join(f'{f.subject}: {f.setting}' for f in failed)}.",
            "See what mends it: fruitscale gdpr audit --config …; gdpr.enforce: false launches all the same.",
        )


def run(
    config: Config,
    observer: Observer = lambda event: None,
    *,
    detach: bool = False,
    on_interrupt: OnInterrupt = stop_at_once,
    every_seconds: float = LOOK_SECONDS,
) -> LaunchResult:
    """Launch a run, watch it to its end, and end its machines. Raises FruitscaleError; then nothing of it is left."""
    config = settle(config)
    check_audit(config)
    launch = launches.new(config)
    launcher = launcher_of(launch)
    launcher.check()

    def tell(words: str) -> None:
        observer(Event("start", message=words))

    try:
        placed = bundle.upload(config, tell)
        launch.save()
        job_files.put_job(launch, placed)
    except KeyboardInterrupt:
        raise InterruptedRunError("Stopped before anything was launched.") from None
    try:
        tell("asking for the machines")
        launcher.up(placed)
    except BaseException as error:
        tear_down(launcher, tell, error)
        time.sleep(APPEARS_SECONDS)
        tear_down(launcher, tell, error)  # what was asked for last may not have been seen yet
        if isinstance(error, KeyboardInterrupt):
            raise InterruptedRunError("Stopped; what had been launched was ended.") from None
        raise
    if detach:
        return LaunchResult(launch, None)
    return watch_until_end(launch, launcher, observer, on_interrupt, every_seconds)


def watch_until_end(
    launch: Launch,
    launcher: Launcher,
    observer: Observer = lambda event: None,
    on_interrupt: OnInterrupt = stop_at_once,
    every_seconds: float = LOOK_SECONDS,
) -> LaunchResult:
    """Watch a launch to its end, and end its machines. Raises FruitscaleError."""

    def tell(words: str) -> None:
        observer(Event("finish", message=words))

    try:
        sight = watch(launch, launcher, observer, every_seconds)
    except KeyboardInterrupt:
        if on_interrupt(launch) == "detach":
            return LaunchResult(launch, None)
        tear_down(launcher, tell)
        raise InterruptedRunError(
            "Stopped; the machines were ended.", f"Go on with it: fruitscale cluster resume {launch.id}"
        ) from None
    except BaseException as error:
        tear_down(launcher, tell, error)
        raise
    lines = [] if sight.outcome == "complete" else last_lines(launch, launcher)
    tear_down(launcher, tell)
    return LaunchResult(launch, _record(launch, sight, lines))


def tear_down(launcher: Launcher, tell: Callable[[str], None], because: BaseException | None = None) -> None:
    """End the machines; an interrupt meanwhile is told, and the next one obeyed. Raises ClusterError that says what to do."""
    tell("ending the machines")
    try:
        try:
            launcher.down()
        except KeyboardInterrupt:
            tell("still ending the machines; Ctrl-C again leaves them to `fruitscale cluster reap`")
            launcher.down()
    except FruitscaleError as error:
        before = f"{because}\n" if isinstance(because, FruitscaleError) else ""
        raise ClusterError(
            f"{before}The machines could not be ended: {error.message}",
            f"They end by themselves at cluster.max_hours; until then: fruitscale cluster stop {launcher.launch.id}",
        ) from error


def _record(launch: Launch, sight: ClusterStatus, lines: list[str]) -> RunRecord:
    if sight.outcome == "complete":
        found = RunFolder(S3Store(launch.config.output.uri, launch.config.storage)).read_record()
        if found is not None:
            return found
        raise ClusterError("The machines say that the run is complete, and there is no run.json.", "See cluster logs.")
    told = "".join(f"\n  {line}" for line in lines)
    said = f" The last it said:{told}" if lines else ""
    raise ClusterError(
        f"The run on the cluster failed: {sight.problem}{said}",
        f"All of it: fruitscale cluster logs {launch.id}. Finished parts are kept: fruitscale cluster resume {launch.id}",
    )
