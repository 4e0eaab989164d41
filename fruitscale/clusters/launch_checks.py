"""All checks of a launch: `cluster plan` shows them, and a launch is refused if one fails."""

from __future__ import annotations

from collections.abc import Iterator

from fruitscale.clusters import account_checks, cluster_config, machine_checks, network_checks
from fruitscale.clusters.check_results import CheckVerdict, LaunchCheck, failed, passed, unknown
from fruitscale.clusters.launch import Launch
from fruitscale.config.cluster_section import EmrServerless
from fruitscale.errors import ClusterError

AUDIT = "audit"


def find(launch: Launch) -> Iterator[LaunchCheck]:
    """Yield every check. They read, and create nothing."""
    yield _audit(launch)
    account = list(account_checks.find(launch))
    yield from account
    network = network_checks.LaunchNetwork(launch)
    yield from network_checks.find(network)
    if not isinstance(launch.cluster, EmrServerless):
        zones = {subnet["AvailabilityZone"] for subnet in network.subnets}
        unknown_release = any(check.name == "release" and check.verdict is CheckVerdict.FAIL for check in account)
        yield from machine_checks.find(launch, zones, unknown_release=unknown_release)


def refuse(launch: Launch) -> None:
    """Raise ClusterError if a check of a launch fails; the message is that of the plan."""
    failures = [check for check in find(launch) if check.verdict is CheckVerdict.FAIL]
    audits = [check for check in failures if check.name == AUDIT]
    if audits:
        raise ClusterError(audits[0].found, audits[0].remedy)
    if failures:
        found = "; ".join(f"{check.name}: {check.found}" for check in failures)
        remedies = dict.fromkeys(check.remedy for check in failures if check.remedy)
        raise ClusterError(f"Nothing is launched. {found}.", " ".join(remedies) or None)


def _audit(launch: Launch) -> LaunchCheck:
    if not launch.config.gdpr.enforce:
        return unknown(AUDIT, "gdpr.enforce is false, so a launch does not run it")
    error = cluster_config.audit_failure(launch.config)
    return passed(AUDIT, "nothing fails") if error is None else failed(AUDIT, error.message, error.hint or "")
