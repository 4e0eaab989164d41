"""A recurring launch: its files in the staging area, and its requests with placeholders for the values of each night."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fruitscale.clusters import bundle, certificates, cluster_config, emr_requests, job_files, launch_checks
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import EXPIRES, JOB, KEYS, Launch, staging_uri
from fruitscale.config.cluster_section import Emr, EmrServerless
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError
from fruitscale.storage.s3 import S3Store

NIGHT = "0night0"
"""Stands for the id of a night's launch in the requests."""
KEY_DAYS = 800
"""How long the machines' certificate of a schedule is valid."""
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@dataclass(frozen=True)
class ScheduledLaunch:
    """What a schedule runs: the launch of a night, and where its job is. `cron` has five fields, as in crontab."""

    name: str
    cron: str
    timezone: str
    launch: Launch
    bundle: UploadedBundle

    @property
    def uri(self) -> str:
        """The folder of its job and its keys; a night's status and log are in a folder of their own, under runs/."""
        return f"{staging_uri(self.launch.config)}/schedules/{self.name}"

    @property
    def configuration(self) -> str:
        """The name of its EMR security configuration; `cluster reap` leaves it alone."""
        return f"scheduled-{self.name}"


def stage(
    config: Config, name: str, cron: str, timezone: str, report: Callable[[str], None] = lambda _: None
) -> ScheduledLaunch:
    """Upload the bundle, model, job and keys for all nights. Raises FruitscaleError if the config can't be launched."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", name):
        raise UsageError(
            f"{name} can't be the name of a schedule.", "Use at most 30 of a-z, 0-9 and -, and begin with a letter."
        )
    aws_cron(cron)
    if config.cluster is not None and not isinstance(config.cluster, Emr | EmrServerless):
        raise UsageError(f"{config.cluster.kind} can't be scheduled.", "Use cluster.kind: emr or emr-serverless.")
    config = cluster_config.settle(config)
    assert config.cluster is not None
    launch = Launch(NIGHT, config, 0, config.cluster.owner or getpass.getuser())
    launch_checks.refuse(launch)
    scheduled = ScheduledLaunch(name, cron, timezone, launch, bundle.upload(config, report))
    report("writing the job of the schedule")
    store = S3Store(scheduled.uri, config.storage)
    store.write(JOB, (json.dumps(_job(scheduled), indent=2) + "\n").encode())
    if isinstance(config.cluster, Emr) and config.cluster.security_configuration is None:
        made = certificates.make(scheduled.configuration, f"*.{launch.region}.compute.internal", KEY_DAYS * 24)
        for file, content in made.for_emr().items():
            store.write(f"{KEYS}/{file}", content)
    return scheduled


def security_configuration(scheduled: ScheduledLaunch) -> dict[str, Any]:
    """Return the request for the security configuration of all nights."""
    made = emr_requests.security_configuration(scheduled.launch)
    text = made["SecurityConfiguration"].replace(scheduled.launch.uri, scheduled.uri)
    return {"Name": scheduled.configuration, "SecurityConfiguration": text}


def job_flow(scheduled: ScheduledLaunch) -> dict[str, Any]:
    """Return the request for a night's cluster, as a launch makes it."""
    cluster = scheduled.launch.cluster
    assert isinstance(cluster, Emr)
    made = emr_requests.job_flow(scheduled.launch, cluster, scheduled.bundle)
    made["SecurityConfiguration"] = cluster.security_configuration or scheduled.configuration
    made["Steps"][0]["HadoopJarStep"]["Args"] += ["--job", scheduled.uri]
    return made


def job_run(scheduled: ScheduledLaunch, application_id: str) -> dict[str, Any]:
    """Return the request for a night's job on EMR Serverless, as a launch makes it."""
    cluster = scheduled.launch.cluster
    assert isinstance(cluster, EmrServerless)
    made = emr_requests.job_run(scheduled.launch, cluster, scheduled.bundle, application_id)
    made["jobDriver"]["sparkSubmit"]["entryPointArguments"] += ["--job", scheduled.uri]
    made["tags"] = {key: value for key, value in made["tags"].items() if key != EXPIRES}
    return made


def opened(value: Any, night: Callable[[list[str]], str], expires: Callable[[str], str]) -> Any:  # noqa: ANN401
    """Return a request with `night(parts)` for each text around the night's id, and `expires(text)` for its expiry."""
    if isinstance(value, Mapping):
        return {key: opened(each, night, expires) for key, each in value.items()}
    if isinstance(value, list):
        return [opened(each, night, expires) for each in value]
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"1970-01-0\d(T[\d:]+Z)", value):  # created at 0
        return expires(value)
    return night(value.split(NIGHT)) if NIGHT in value else value


def aws_cron(cron: str) -> str:
    """Return a crontab schedule of five fields as AWS writes it. Raises UsageError."""
    fields = cron.split()
    if len(fields) != 5 or not all(re.fullmatch(r"[\dA-Za-z*,/-]+", field) for field in fields):
        raise UsageError(
            f"{cron!r} is not a cron schedule.",
            'Give minute, hour, day, month and weekday, as in --cron "0 2 * * *" (every night at 2).',
        )
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise UsageError(f"{cron!r} has a day and a weekday, which AWS can't combine.", "Set one of them to *.")
    if weekday != "*":
        days = re.sub(r"(?<!/)\b[0-7]\b", lambda match: _DAYS[int(match[0])], weekday)
        return f"cron({minute} {hour} ? {month} {days.upper()} *)"
    return f"cron({minute} {hour} {day} {month} ? *)"


def _job(scheduled: ScheduledLaunch) -> dict[str, Any]:
    """Return the job, whose deadline and costs count from the start of each night's driver."""
    launch = scheduled.launch
    made = job_files.job_of(launch, scheduled.bundle)
    return {**made, "until": None, "seconds": launch.lifetime_seconds, "machines": {**made["machines"], "began": None}}
