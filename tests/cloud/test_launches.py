"""Launches against moto, from the first request to the last: what is made, watched, and ended, whatever happens."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fruitscale.cli.run_results import print_launch_result
from fruitscale.clusters import cluster_run, launch_control
from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.config.loading import from_mapping
from fruitscale.display.events import Event
from fruitscale.errors import CapacityError, ClusterError, InterruptedRunError, ResidencyError, UsageError
from tests.cloud.agent import Agent
from tests.cloud.cloud import Asked, Refusal
from tests.cloud.simulated_account import Account

KINDS = ("emr", "emr-serverless", "ec2-dask")
QUICK = 0.1
MAKES = ("RunJobFlow", "CreateSecurityConfiguration", "CreateApplication", "StartJobRun", "CreateSecurityGroup",
         "AuthorizeSecurityGroupIngress", "RunInstances")  # fmt: skip
Left = Callable[[], list[str]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_run_that_succeeds_is_reported_and_torn_down(
    account: Account, kind: str, local_run: Path, left: Left, capsys: pytest.CaptureFixture[str]
) -> None:
    record = (local_run / "run.json").read_bytes()
    with Agent(account, record=record):
        ended = cluster_run.run(account.config(kind), every_seconds=QUICK)
    assert ended.record is not None
    assert ended.record.to_json().encode() == record
    print_launch_result(ended, as_json=True)
    assert capsys.readouterr().out.encode() == record
    assert left() == []


def test_a_failing_audit_launches_nothing_unless_that_is_let_pass(account: Account, left: Left) -> None:
    config = account.config("ec2-dask")
    enforced = config.model_copy(update={"gdpr": config.gdpr.model_copy(update={"enforce": True})})
    with pytest.raises(
        ClusterError, match=r"The audit fails, so nothing is launched: s3://photos: public access"
    ) as caught:
        cluster_run.run(enforced)
    assert "gdpr audit" in (caught.value.hint or "")
    assert [asked.operation for asked in account.proxy.asked if asked.operation in MAKES] == []
    assert left() == []


@pytest.mark.parametrize("setting", [("pca", "run", "runs/first"), ("input", "new_since", ["runs/first"])])
def test_a_folder_that_machines_cannot_reach_is_refused(account: Account, setting: tuple[str, str, Any]) -> None:
    values, (section, name, value) = account.config("emr").model_dump(mode="json"), setting
    values[section][name] = value
    with pytest.raises(UsageError, match=r"(pca\.run|input\.new_since\[0\]) is runs/first, which the machines"):
        cluster_run.run(from_mapping(values))


@pytest.mark.slow  # test_machines.py has a run that is made
def test_a_run_is_launched_made_watched_and_torn_down(account: Account, kind: str, left: Left) -> None:
    told: list[Event] = []
    prices = {
        "machine_hour": {"m6i.xlarge": 1.0, "c6i.2xlarge": 2.0},
        "emr_hour": {"m6i.xlarge": 0.1, "c6i.2xlarge": 0.2},
    }
    config = account.config(kind, prices={**prices, "vcpu_hour": 0.05, "gb_hour": 0.01})
    with Agent(account, runs_it=True):
        ended = cluster_run.run(config, told.append, every_seconds=QUICK)
    record = ended.record
    assert record is not None
    assert (record.images.featurized, record.images.rejected) == (24, 0)
    assert record.engine.name == ("dask" if kind == "ec2-dask" else "spark")
    assert record.cost is not None
    assert record.cost.machine_hours > 0
    assert record.cost.amount
    assert record.cost.amount <= (record.cost.amount_at_most or 0)
    assert ended.has_page
    assert {"featurize", "project"} & {event.stage for event in told}
    assert any("EMR" in (event.message or "") or "EC2" in (event.message or "") for event in told)
    assert left() == []


def test_a_failing_run_reports_its_last_lines(account: Account, kind: str, left: Left) -> None:
    with Agent(account, code=1, log="Reading\nError: the disk is full\n"):
        with pytest.raises(ClusterError, match="failed: the disk is full") as caught:
            cluster_run.run(account.config(kind), every_seconds=QUICK)
    assert caught.value.message.endswith("\n  Reading\n  Error: the disk is full")
    assert "cluster resume" in (caught.value.hint or "")
    assert left() == []


@pytest.mark.parametrize(
    ("place", "text"),
    [
        pytest.param("steps/s-1/stderr.gz", "Error: SparkException: refused\n", id="step"),
        pytest.param("node/i-1/bootstrap-actions/1/stderr.gz", "boot.sh: no space left\n", id="boot"),
    ],
)
def test_the_service_s_log_is_shown_where_the_driver_never_began(account: Account, place: str, text: str) -> None:
    launch = cluster_run.run(account.config("emr"), detach=True).launch
    (cluster,) = [c["Id"] for c in account.client("emr").list_clusters()["Clusters"] if c["Name"] == launch.name]
    key = f"{launch.log_uri}/{cluster}/{place}".removeprefix("s3://photos/")
    account.client("s3").put_object(Bucket="photos", Key=key, Body=gzip.compress(text.encode()))
    assert launch_control.log(launch.config, launch.id) == text
    launch_control.stop(launch.config, launch.id)


def test_every_third_call_is_throttled(account: Account, kind: str, left: Left) -> None:
    count = itertools.count(1)

    def throttle(asked: Asked) -> Refusal | None:
        if asked.is_s3 or next(count) % 3:
            return None
        return Refusal("RequestLimitExceeded" if asked.service == "ec2" else "ThrottlingException", 400)

    account.proxy.rule = throttle
    with Agent(account, code=1, log="Error: done\n"), pytest.raises(ClusterError, match="failed: done"):
        cluster_run.run(account.config(kind), every_seconds=QUICK)
    assert len(account.proxy.refused) >= 3
    account.proxy.rule = lambda asked: None
    assert left() == []


@pytest.mark.slow
def test_a_request_whose_answer_is_lost_is_done_once(account: Account, kind: str, left: Left) -> None:
    seen: set[tuple[str, str]] = set()

    def lose(asked: Asked) -> Refusal | None:
        key = (asked.operation, str(asked.said.get("ClientToken")))
        if asked.operation not in MAKES or key in seen:
            return None
        seen.add(key)
        return Refusal("lost", lost=True)

    account.proxy.rule = lose
    launch = cluster_run.run(account.config(kind), detach=True).launch
    assert made(account, launch) == {"emr": 1, "emr-serverless": 1, "ec2-dask": 9}[kind]
    assert len(seen) == {"emr": 2, "emr-serverless": 2, "ec2-dask": 4}[kind]
    cluster_run.tear_down(launcher_of(launch), lambda _: None)
    assert left() == []


def made(account: Account, launch: Launch) -> int:
    """Count what was made under the launch's name."""
    if launch.cluster.kind == "emr":
        return [c["Name"] for c in account.client("emr").list_clusters()["Clusters"]].count(launch.name)
    if launch.cluster.kind == "emr-serverless":
        found = account.client("emr-serverless").list_applications()["applications"]
        return [application["name"] for application in found].count(launch.name)
    filters = [{"Name": "tag:fruitscale:run", "Values": [launch.id]}]
    reservations = account.client("ec2").describe_instances(Filters=filters)["Reservations"]
    return sum(len(reservation["Instances"]) for reservation in reservations)


QUOTAS = {
    "emr": ("RunJobFlow", "LimitExceededException"),
    "emr-serverless": ("StartJobRun", "ServiceQuotaExceededException"),
    "ec2-dask": ("RunInstances", "VcpuLimitExceeded"),
}


@pytest.mark.slow
def test_a_quota_in_the_middle_of_launching(account: Account, kind: str, left: Left) -> None:
    operation, code = QUOTAS[kind]

    def refuse(asked: Asked) -> Refusal | None:
        if asked.operation != operation or (kind == "ec2-dask" and len(account.proxy.of(operation)) < 2):
            return None
        return Refusal(code, message="You have asked for more than you may have")

    account.proxy.rule = refuse
    with pytest.raises(ClusterError, match=f"{code}.*more than you may have") as caught:
        cluster_run.run(account.config(kind), every_seconds=QUICK)
    assert "quota" in (caught.value.hint or "")
    assert account.proxy.refused
    assert left() == []


def test_where_there_is_no_capacity_the_next_type_is_tried(account: Account, left: Left) -> None:
    account.proxy.rule = no_capacity("c6i.2xlarge")
    launch = cluster_run.run(account.config("ec2-dask"), detach=True).launch
    asked = dict.fromkeys(each.said["InstanceType"] for each in account.proxy.of("RunInstances"))
    assert list(asked) == ["m6i.xlarge", "c6i.2xlarge", "c5.2xlarge"]
    assert len({each.said["ClientToken"] for each in account.proxy.of("RunInstances")}) == 3
    cluster_run.tear_down(launcher_of(launch), lambda _: None)
    assert left() == []


def test_no_capacity_at_all(account: Account, left: Left) -> None:
    account.proxy.rule = no_capacity("c6i.2xlarge", "c5.2xlarge")
    with pytest.raises(CapacityError, match="InsufficientInstanceCapacity"):
        cluster_run.run(account.config("ec2-dask"), every_seconds=QUICK)
    assert left() == []


def no_capacity(*types: str) -> Callable[[Asked], Refusal | None]:
    return lambda asked: (
        Refusal("InsufficientInstanceCapacity", 500) if asked.said.get("InstanceType") in types else None
    )


def test_emr_without_capacity_ends_by_itself(account: Account, left: Left) -> None:
    with Agent(account, cluster_ends="The requested instance type is not available"):
        with pytest.raises(ClusterError, match="failed: The requested instance type is not available"):
            cluster_run.run(account.config("emr"), every_seconds=QUICK)
    assert left() == []


@pytest.mark.parametrize("moment", ["launching", "watching"])
def test_an_interrupt_ends_the_machines(account: Account, kind: str, moment: str, left: Left) -> None:
    def interrupt(event: Event) -> None:
        if (moment == "launching" and "requesting" in (event.message or "")) or "EMR" in (event.message or ""):
            raise KeyboardInterrupt
        if "EC2" in (event.message or ""):
            raise KeyboardInterrupt

    with Agent(account, never_ends=True), pytest.raises(InterruptedRunError):
        cluster_run.run(account.config(kind), interrupt, every_seconds=QUICK)
    assert left() == []


def test_an_interrupt_can_leave_it_running(account: Account, left: Left) -> None:
    def interrupt(event: Event) -> None:
        if "EC2" in (event.message or ""):
            raise KeyboardInterrupt

    config = account.config("ec2-dask", workers=2)
    ended = cluster_run.run(config, interrupt, on_interrupt=lambda _: "detach", every_seconds=QUICK)
    assert ended.record is None
    assert len([each for each in left() if each.startswith("machine")]) == 3
    found = launch_control.find(config)
    assert found.id == ended.launch.id
    cluster_run.tear_down(launcher_of(found), lambda _: None)
    assert left() == []


@pytest.mark.parametrize(
    ("update", "error", "told"),
    [
        pytest.param({"input": {"uri": "/photos"}}, UsageError, "input.uri is /photos", id="a-local-input"),
        pytest.param({"engine": "local"}, UsageError, "engine is local, but emr runs spark", id="another-engine"),
        pytest.param(
            {"storage": {"region": "us-east-1"}}, ResidencyError, "is not in storage.allowed_regions", id="outside"
        ),
        pytest.param({"storage": {"staging_uri": None}}, UsageError, "storage.staging_uri is not set", id="no-staging"),
        pytest.param({"storage": {"staging_uri": "s3://nowhere/x"}}, ResidencyError, "no such bucket", id="no-bucket"),
        pytest.param(
            {"cluster": {"disk_key": None}}, ClusterError, "cluster.disk_key is not set", id="no-key-of-the-disks"
        ),
        pytest.param({"output": {"paths": "hashed"}}, UsageError, "hashed needs a key", id="hashed"),
    ],
)
def test_a_config_that_cannot_launch(
    account: Account, update: dict[str, dict[str, object]], error: type[Exception], told: str, left: Left
) -> None:
    from fruitscale.config.loading import from_mapping

    values = account.config("emr").model_dump(mode="json")
    for section, more in update.items():
        values[section] = {**values[section], **more} if isinstance(more, dict) else more
    with pytest.raises(error, match=told):
        cluster_run.run(from_mapping(values))
    assert not [asked for asked in account.proxy.asked if asked.operation in MAKES]
    assert left() == []
