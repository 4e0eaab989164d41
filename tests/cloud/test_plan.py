"""fruitscale cluster plan, and status, logs, stop and reap for launches that were detached or killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fruitscale.clusters import cluster_config, cluster_run, job_files, launch_control, reap
from fruitscale.clusters import launch as launches
from fruitscale.clusters import launch_plan as plans
from fruitscale.clusters.check_results import CheckVerdict
from fruitscale.clusters.launch import LOG
from fruitscale.clusters.launcher_registry import launcher_of
from fruitscale.config.schema import Config
from fruitscale.errors import ClusterError
from fruitscale.storage import aws
from tests.cloud.agent import set_job_state
from tests.cloud.cloud import Refusal
from tests.cloud.simulated_account import Account, write
from tests.conftest import Cli
from tests.s3.runs import wait_for

PRICES = {
    "date": "2026-01-31",
    "machine_hour": {"m6i.xlarge": 0.2, "c6i.2xlarge": 0.4},
    "emr_hour": {"m6i.xlarge": 0.05, "c6i.2xlarge": 0.1},
    "spot_fraction": 0.5,
}


def test_a_plan_shows_what_a_launch_creates_and_creates_nothing(
    cloud_cli: Cli, account: Account, tmp_path: Path, left: Callable[[], list[str]]
) -> None:
    path = write(account.config("emr", prices=PRICES, core=2, spot=6), tmp_path)
    shown = cloud_cli("cluster", "plan", "--config", path)
    assert shown.code == 0, shown.out + shown.err
    assert "4.25 USD, at the prices of 2026-01-31" in shown.out  # 1 × 0.25 + 8 × 0.5: EMR may switch to on-demand
    assert "51.00 USD; ended by cluster.max_hours (12)" in shown.out
    assert "no estimate: the speed of patch_mean is not known" in shown.out
    assert "GB of disk (gp3) (no price), KMS key (no price), network traffic" in shown.out
    assert {asked.operation for asked in account.proxy.asked if asked.operation} == {
        "GetRole", "GetInstanceProfile", "DescribeKey", "ListReleaseLabels", "DescribeSubnets", "DescribeRouteTables",
        "DescribeVpcs", "DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "ListSupportedInstanceTypes",
        "GetServiceQuota",
    }  # fmt: skip
    s3 = [asked for asked in account.proxy.asked if asked.is_s3 and asked.method != "HEAD"]
    assert {asked.method for asked in s3} == {"GET"}  # the listing, and the record of an earlier run
    assert left() == []


def checks(config: Config) -> dict[str, CheckVerdict]:
    return {check.name: check.verdict for check in plans.plan(config).checks}


def test_what_is_there_passes(account: Account) -> None:
    found = checks(account.config("ec2-dask"))
    quotas = {name: found.pop(name) for name in list(found) if name.endswith("quota")}
    assert found.pop("audit") is CheckVerdict.UNKNOWN  # gdpr.enforce is false
    names = {
        "photos",
        "bucket photos",
        "storage key",
        "instance profile",
        f"subnet {account.subnet}",
        "machines",
        "capacity pools",
    }
    assert set(found) == names
    assert set(found.values()) == {CheckVerdict.PASS}
    assert set(quotas) == {"on-demand quota"}


def test_what_is_missing_fails(account: Account) -> None:
    config = account.config("emr", instance_profile="nobody", service_role="nobody", worker_types=["t9.huge"],
                            security_configuration="theirs", subnets=["subnet-12345678"])  # fmt: skip
    found = checks(config)
    names = ("instance profile", "service role", "security configuration", "subnet subnet-12345678", "machines")
    assert {name: found[name] for name in names} == dict.fromkeys(names, CheckVerdict.FAIL)


def test_machines_of_another_cpu_fail(account: Account) -> None:
    assert checks(account.config("ec2-dask", architecture="aarch64"))["machines"] is CheckVerdict.FAIL


def test_what_may_not_be_asked_is_no_pass(account: Account) -> None:
    account.proxy.rule = lambda asked: Refusal("AccessDenied", 403) if asked.service == "iam" else None
    assert checks(account.config("ec2-dask"))["instance profile"] is CheckVerdict.UNKNOWN


def test_a_quota_that_is_too_small_fails(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    real = aws.ask

    def ask(service: Any, operation: str, **parameters: Any) -> Any:
        if operation == "get_service_quota":  # moto knows few quotas
            return {"Quota": {"Value": 64.0}}
        return real(service, operation, **parameters)

    monkeypatch.setattr(aws, "ask", ask)
    # 4 vCPU of the scheduler, and 8 a worker
    assert checks(account.config("ec2-dask", workers=7))["on-demand quota"] is CheckVerdict.PASS
    assert checks(account.config("ec2-dask", workers=8))["on-demand quota"] is CheckVerdict.FAIL


@pytest.mark.parametrize(
    "kind",
    ["ec2-dask", pytest.param("emr", marks=pytest.mark.slow), pytest.param("emr-serverless", marks=pytest.mark.slow)],
)
def test_what_a_killed_launch_left_is_reaped(
    cloud_cli: Cli, account: Account, kind: str, tmp_path: Path, left: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = account.config(kind)
    path = write(config, tmp_path)
    set_job_state("RUNNING")
    process = cloud_cli.start("run", "--config", path)
    try:
        last = {"emr": "ListSteps", "emr-serverless": "GetJobRun", "ec2-dask": "DescribeInstances"}[kind]
        assert wait_for(lambda: bool(account.proxy.of(last)), 60), process.communicate()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert left() != []
    expired = launches.find(cluster_config.settle(config)).expires + 1
    monkeypatch.setattr(time, "time", lambda: expired)
    assert {found.problem for found in reap.reap(config)} == {None}
    set_job_state("SUCCESS")
    assert left() == []


def test_what_is_not_past_its_expiry_is_left_alone(account: Account, left: Callable[[], list[str]]) -> None:
    launch = cluster_run.run(account.config("ec2-dask", workers=1), detach=True).launch
    before = left()
    assert reap.reap(launch.config) == []
    assert left() == before
    cluster_run.tear_down(launcher_of(launch), lambda _: None)


def test_a_detached_launch_is_found_looked_at_and_stopped(
    cloud_cli: Cli, account: Account, tmp_path: Path, left: Callable[[], list[str]]
) -> None:
    path = write(account.config("ec2-dask", workers=2, prices=PRICES), tmp_path)
    launched = cloud_cli("run", "--config", path, "--detach", "--json", "--quiet")
    assert launched.code == 0, launched.err
    launch_id = json.loads(launched.out)["launch"]
    shown = json.loads(cloud_cli("cluster", "status", "--config", path, "--json").out)
    assert (shown["id"], shown["outcome"], len(shown["machines"])) == (launch_id, None, 3)
    stopped = cloud_cli("cluster", "stop", launch_id, "--config", path)
    assert stopped.code == 0, stopped.err
    assert f"fruitscale cluster resume {launch_id}" in stopped.out
    assert left() == []


def test_what_is_stopped_twice_was_stopped(account: Account, left: Callable[[], list[str]]) -> None:
    launch = cluster_run.run(account.config("ec2-dask", workers=1), detach=True).launch
    for _ in range(2):
        cluster_run.tear_down(launcher_of(launch), lambda _: None)
        assert left() == []
    assert launcher_of(launch).status().outcome == "gone"


def test_a_launch_that_is_not_there(account: Account) -> None:
    config = cluster_config.settle(account.config("ec2-dask"))
    with pytest.raises(ClusterError, match="There is no launch nothing in s3://photos/staging"):
        launches.find(config, "nothing")
    with pytest.raises(ClusterError, match=f"Nothing was launched for {config.output.uri}"):
        launches.find(config)


def test_logs_are_what_the_driver_printed(account: Account) -> None:
    launch = cluster_run.run(account.config("ec2-dask", workers=1), detach=True).launch
    assert job_files.log(launch) == ""
    with pytest.raises(ClusterError, match=f"Launch {launch.id} has no log yet"):
        launch_control.log(launch.config)
    launch.store().write("logs/worker-a.log", b"no disk\n")  # of a start that failed
    assert job_files.log(launch) == "no disk\n"
    launch.store().write(LOG, b"Featurize: 3 of 24 images\n")
    assert launch_control.log(launch.config) == "Featurize: 3 of 24 images\n"
    cluster_run.tear_down(launcher_of(launch), lambda _: None)
