"""Writes or applies a schedule: a CloudFormation stack in addition to that of the set-up, or an Airflow DAG."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from fruitscale.clusters.account.airflow_file import dag
from fruitscale.clusters.account.schedule_template import schedule_template
from fruitscale.clusters.account.scheduled_launch import ScheduledLaunch
from fruitscale.clusters.account.setup_template import as_text
from fruitscale.clusters.account.stacks import ChangeSet, Stacks
from fruitscale.storage import aws

__all__ = ["ProposedSchedule", "apply", "dag", "discard", "propose", "template_text"]


@dataclass(frozen=True)
class ProposedSchedule:
    """A change set of a schedule's stack, which `apply` carries out."""

    scheduled: ScheduledLaunch
    change_set: ChangeSet


def template_text(scheduled: ScheduledLaunch, name: str) -> str:
    """Return the template: YAML if the file's name ends in .yaml or .yml, else JSON. Raises ClusterError."""
    return as_text(schedule_template(scheduled, _account(scheduled)), name)


def propose(scheduled: ScheduledLaunch) -> ProposedSchedule:
    """Create the change set of a schedule; it changes nothing until it is applied. Raises ClusterError."""
    body = json.dumps(schedule_template(scheduled, _account(scheduled)))
    tags = {"fruitscale:purpose": scheduled.launch.cluster.purpose, "fruitscale:owner": scheduled.launch.owner}
    return ProposedSchedule(scheduled, _stacks(scheduled).propose(f"fruitscale-{scheduled.name}", body, {}, tags))


def apply(proposed: ProposedSchedule, report: Callable[[str], None] = lambda _: None) -> None:
    """Carry out a proposed schedule. Raises ClusterError."""
    if proposed.change_set.changes:
        _stacks(proposed.scheduled).execute(proposed.change_set, report)
    else:
        discard(proposed)


def discard(proposed: ProposedSchedule) -> None:
    """Discard a proposed schedule. Raises ClusterError."""
    _stacks(proposed.scheduled).discard(proposed.change_set)


def _stacks(scheduled: ScheduledLaunch) -> Stacks:
    return Stacks(aws.client("cloudformation", scheduled.launch.config.storage))


def _account(scheduled: ScheduledLaunch) -> str:
    return str(aws.ask(aws.client("sts", scheduled.launch.config.storage), "get_caller_identity")["Account"])
