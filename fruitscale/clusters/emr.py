"""Launches Spark on EMR: a cluster that runs one step and ends."""

from __future__ import annotations

import gzip
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from fruitscale.clusters import certificates, emr_requests
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.job_files import put_keys, remove_keys
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import ClusterStatus, Machine, Request
from fruitscale.config.cluster_section import Emr
from fruitscale.errors import ClusterError
from fruitscale.storage import aws
from fruitscale.storage.s3 import S3Store

ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")
END_SECONDS = 1200
TRIES = 5
APPEARS_SECONDS = 2.0
"""How long EMR may take to list a new cluster."""
EARLIER = timedelta(minutes=5)


class EmrLauncher:
    """Launches an EMR cluster."""

    def __init__(self, launch: Launch) -> None:
        assert isinstance(launch.cluster, Emr)
        self.launch, self.cluster = launch, launch.cluster
        self._emr = aws.client("emr", launch.config.storage)

    def requests(self, bundle: UploadedBundle) -> list[Request]:
        """Return the requests that `up` makes."""
        made = [Request("emr", "run_job_flow", emr_requests.job_flow(self.launch, self.cluster, bundle))]
        if self.cluster.security_configuration is None:
            configuration = emr_requests.security_configuration(self.launch)
            made.insert(0, Request("emr", "create_security_configuration", configuration))
        return made

    def up(self, bundle: UploadedBundle) -> None:
        """Create the security configuration, unless the config names one, and the cluster."""
        for request in self.requests(bundle):
            if request.operation == "run_job_flow":
                self._run(request.parameters)
            else:
                put_keys(
                    self.launch, certificates.make(self.launch.name, self._hosts(), self.cluster.max_hours).for_emr()
                )
                self._configure(request.parameters)

    def status(self) -> ClusterStatus:
        """Return the status of the cluster and its step."""
        found = self._find(())
        if not found:
            return ClusterStatus("EMR has no such cluster", "gone", "EMR has no cluster of this name.")
        cluster = aws.ask(self._emr, "describe_cluster", ClusterId=found[0])["Cluster"]
        steps = aws.ask(self._emr, "list_steps", ClusterId=found[0])["Steps"]
        status = cluster["Status"]
        step = steps[0]["Status"] if steps else {"State": "PENDING"}
        text = f"EMR {found[0]}: {status['State'].lower()}, its step {step['State'].lower()}"
        if step["State"] == "COMPLETED":
            return ClusterStatus(text, "complete", machines=self.machines(found[0]))
        reason = _reason(step) or _reason(status)
        if step["State"] in ("FAILED", "CANCELLED", "INTERRUPTED") or status["State"] in (
            "TERMINATING",
            "TERMINATED_WITH_ERRORS",
        ):
            return ClusterStatus(text, "failed", reason or text, self.machines(found[0]))
        if status["State"] == "TERMINATED":
            return ClusterStatus(text, "gone", reason or "The cluster was ended.", self.machines(found[0]))
        return ClusterStatus(text, machines=self.machines(found[0]))

    def machines(self, cluster_id: str) -> tuple[Machine, ...]:
        """Return the cluster's machines, including ended ones."""
        found = aws.pages(self._emr, "list_instances", "Instances", ClusterId=cluster_id)
        return tuple(_machine(each) for each in found)

    def log(self) -> str:
        """Return EMR's copy of the step's stderr, or of the boot script's if no step began."""
        store = S3Store(self.launch.log_uri, self.launch.config.storage)
        for cluster_id in self._find(()):
            step, boot = f"{cluster_id}/steps/", f"{cluster_id}/node/"
            names = [n for n in store.names(step) if n.endswith("/stderr.gz")]
            names = names or [n for n in store.names(boot) if "/bootstrap-actions/" in n and n.endswith("/stderr.gz")]
            return "".join(gzip.decompress(store.read(name)).decode(errors="replace") for name in sorted(names))
        return ""

    def down(self) -> None:
        """End the cluster, then delete its security configuration and its keys."""
        for cluster_id in self._find(ALIVE):
            end_cluster(self._emr, cluster_id)
        remove_configuration(self._emr, self.launch.name)
        remove_keys(self.launch)

    def _run(self, parameters: dict[str, Any]) -> None:
        """Create the cluster. EMR takes no client token, so look for the cluster before a retry."""
        once = aws.client("emr", self.launch.config.storage, attempts=1)
        for attempt in range(TRIES):
            try:
                aws.ask(once, "run_job_flow", **parameters)
            except ClusterError as error:
                refused = bool(aws.code(error))
                if (refused and not _is_transient(aws.code(error))) or attempt == TRIES - 1:
                    raise
                time.sleep(APPEARS_SECONDS * (attempt + 1))
                if self._find(ALIVE):
                    return
            else:
                return

    def _configure(self, parameters: dict[str, Any]) -> None:
        try:
            aws.ask(self._emr, "create_security_configuration", **parameters)
        except ClusterError:
            if not self._is_configured(parameters["Name"]):  # an earlier attempt may have created it
                raise

    def _is_configured(self, name: str) -> bool:
        try:
            aws.ask(self._emr, "describe_security_configuration", Name=name)
        except ClusterError:
            return False
        return True

    def _find(self, states: tuple[str, ...]) -> list[str]:
        """Return the ids of the clusters with this launch's name: one, or none."""
        after = datetime.fromtimestamp(self.launch.created, UTC) - EARLIER
        more = {"ClusterStates": list(states)} if states else {}
        found = aws.pages(self._emr, "list_clusters", "Clusters", CreatedAfter=after, **more)
        return [each["Id"] for each in found if each["Name"] == self.launch.name]

    def _hosts(self) -> str:
        return "*.ec2.internal" if self.launch.region == "us-east-1" else f"*.{self.launch.region}.compute.internal"


def remove_configuration(emr: Any, name: str) -> None:  # noqa: ANN401
    """Delete a security configuration, if it exists."""
    try:
        aws.ask(emr, "delete_security_configuration", Name=name)
    except ClusterError as error:
        if "does not exist" not in error.message and "not found" not in error.message.lower():
            raise


def end_cluster(emr: Any, cluster_id: str) -> None:  # noqa: ANN401
    """End a cluster and wait until it is gone."""
    aws.ask(emr, "terminate_job_flows", JobFlowIds=[cluster_id])

    def is_gone() -> bool:
        state = aws.ask(emr, "describe_cluster", ClusterId=cluster_id)["Cluster"]["Status"]["State"]
        return state not in ALIVE

    aws.wait(is_gone, END_SECONDS, f"EMR cluster {cluster_id} has not ended")


def _is_transient(code: str) -> bool:
    return "hrottl" in code or code in (
        "InternalServerError",
        "InternalServerException",
        "ServiceUnavailable",
        "503",
        "500",
    )


def _reason(status: dict[str, Any]) -> str | None:
    """Return the reason that EMR gives for a state, if any."""
    change, details = status.get("StateChangeReason") or {}, status.get("FailureDetails") or {}
    reasons = [details.get("Reason"), details.get("Message"), change.get("Message")]
    return ": ".join(dict.fromkeys(reason for reason in reasons if reason)) or None


def _machine(instance: dict[str, Any]) -> Machine:
    timeline = instance["Status"].get("Timeline") or {}
    began, ended = timeline.get("CreationDateTime"), timeline.get("EndDateTime") or datetime.now(UTC)
    hours = (ended - began).total_seconds() / 3600 if began else 0.0
    market = "spot" if instance.get("Market") == "SPOT" else "on-demand"
    return Machine(
        instance.get("Ec2InstanceId", ""),
        instance.get("InstanceType", ""),
        market,
        instance["Status"]["State"].lower(),
        hours,
    )
