"""Launches Spark on EMR Serverless: one job, in a temporary application or one that the config names."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

from fruitscale.clusters import emr_requests
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import BilledUse, ClusterStatus, Machine, Request
from fruitscale.config.cluster_section import EmrServerless
from fruitscale.errors import ClusterError
from fruitscale.storage import aws
from fruitscale.storage.s3 import S3Store

ACTIVE = ("SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "QUEUED", "CANCELLING")
ALIVE = ("CREATING", "CREATED", "STARTING", "STARTED", "STOPPING", "STOPPED")
START_SECONDS, END_SECONDS = 300, 600


class EmrServerlessLauncher:
    """Launches an EMR Serverless job."""

    def __init__(self, launch: Launch) -> None:
        assert isinstance(launch.cluster, EmrServerless)
        self.launch, self.cluster = launch, launch.cluster
        self._serverless = aws.client("emr-serverless", launch.config.storage)

    def requests(self, bundle: UploadedBundle) -> list[Request]:
        """Return the requests that `up` makes."""
        made = []
        if self.cluster.application is None:
            made.append(
                Request("emr-serverless", "create_application", emr_requests.application(self.launch, self.cluster))
            )
        job = emr_requests.job_run(self.launch, self.cluster, bundle, self.cluster.application or "<application>")
        return [*made, Request("emr-serverless", "start_job_run", job)]

    def up(self, bundle: UploadedBundle) -> None:
        """Create the application, unless the config names one, and start the job."""
        application = self.cluster.application
        if application is None:
            request = emr_requests.application(self.launch, self.cluster)
            application = aws.ask(self._serverless, "create_application", **request)["applicationId"]
            aws.wait(
                lambda: self._state(str(application)) in ("CREATED", "STARTED"),
                START_SECONDS,
                "The application is not ready",
            )
        request = emr_requests.job_run(self.launch, self.cluster, bundle, application)
        aws.ask(self._serverless, "start_job_run", **request)

    def status(self) -> ClusterStatus:
        """Return the status of the job."""
        job = self._job()
        if job is None:
            return ClusterStatus("EMR Serverless has no such job", "gone", "EMR Serverless has no job of this name.")
        text = f"EMR Serverless: {job['state'].lower()}"
        machines = (_machine(job),)
        if job["state"] == "SUCCESS":
            return ClusterStatus(text, "complete", machines=machines)
        if job["state"] in ("FAILED", "CANCELLED"):
            return ClusterStatus(text, "failed", job.get("stateDetails") or text, machines)
        return ClusterStatus(text, machines=machines)

    def log(self) -> str:
        """Return EMR Serverless' copy of the driver's stderr."""
        store = S3Store(self.launch.log_uri, self.launch.config.storage)
        job = self._job()
        if job is None:
            return ""
        place = f"applications/{job['applicationId']}/jobs/{job['jobRunId']}/SPARK_DRIVER/"
        names = sorted(name for name in store.names(place) if name.endswith("stderr.gz"))
        return "".join(gzip.decompress(store.read(name)).decode(errors="replace") for name in names)

    def down(self) -> None:
        """Cancel the job, and delete the application unless the config names it."""
        for application in self._applications():
            cancel_jobs(self._serverless, application, self.launch.name)
            if application != self.cluster.application:
                end_application(self._serverless, application)

    def _state(self, application: str) -> str:
        found = aws.ask(self._serverless, "get_application", applicationId=application)
        return str(found["application"]["state"])

    def _applications(self) -> list[str]:
        if self.cluster.application is not None:
            return [self.cluster.application]
        found = aws.pages(self._serverless, "list_applications", "applications", states=list(ALIVE))
        return [each["id"] for each in found if each.get("name") == self.launch.name]

    def _job(self) -> dict[str, Any] | None:
        for application in self._applications():
            for job in _jobs(self._serverless, application):
                if job.get("name") == self.launch.name:
                    found = aws.ask(self._serverless, "get_job_run", applicationId=application, jobRunId=job["id"])
                    run: dict[str, Any] = found["jobRun"]
                    return run
        return None


def end_all(serverless: Any, application: str) -> None:  # noqa: ANN401
    """Cancel every job of an application, and delete it."""
    cancel_jobs(serverless, application)
    end_application(serverless, application)


def cancel_jobs(serverless: Any, application: str, name: str | None = None) -> None:  # noqa: ANN401
    """Cancel an application's jobs (all, or those with a name) and wait until they have ended."""

    def active() -> list[str]:
        return [each["id"] for each in _jobs(serverless, application, ACTIVE) if name in (None, each.get("name"))]

    for job in active():
        aws.ask(serverless, "cancel_job_run", applicationId=application, jobRunId=job)
    aws.wait(lambda: not active(), END_SECONDS, "The job has not ended")


def end_application(serverless: Any, application: str) -> None:  # noqa: ANN401
    """Stop and delete an application, if it exists."""

    def state() -> str:
        return str(aws.ask(serverless, "get_application", applicationId=application)["application"]["state"])

    try:
        if state() not in ("CREATED", "STOPPED", "TERMINATED"):
            aws.ask(serverless, "stop_application", applicationId=application)
            aws.wait(
                lambda: state() in ("STOPPED", "CREATED", "TERMINATED"), END_SECONDS, "The application has not stopped"
            )
        if state() != "TERMINATED":
            aws.ask(serverless, "delete_application", applicationId=application)
    except ClusterError as error:
        if not aws.is_absent(error):
            raise


def _jobs(serverless: Any, application: str, states: tuple[str, ...] = ()) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return an application's jobs, newest first; empty if the application no longer exists."""
    more = {"states": list(states)} if states else {}
    try:
        return list(aws.pages(serverless, "list_job_runs", "jobRuns", applicationId=application, **more))
    except ClusterError as error:
        if aws.is_absent(error):
            return []
        raise


def _machine(job: dict[str, Any]) -> Machine:
    """Return a job as one machine, with its running time and what AWS has billed for it."""
    began = job["createdAt"]
    ended = job.get("endedAt") or (datetime.now(UTC) if job["state"] in ACTIVE else job["updatedAt"])
    used = job.get("billedResourceUtilization")
    billed = used and BilledUse(*(used.get(name, 0.0) for name in ("vCPUHour", "memoryGBHour", "storageGBHour")))
    hours = (ended - began).total_seconds() / 3600
    return Machine(job["jobRunId"], "emr-serverless", "on-demand", job["state"].lower(), hours, billed=billed or None)
