"""Reaping in an account that is shared: others' clusters may not be looked at, and ours are ended all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fruitscale.clusters import reap
from fruitscale.clusters.reap import ExpiredResource
from fruitscale.config.schema import Config
from tests.cloud.cloud import Asked, Refusal
from tests.cloud.simulated_account import Account, write
from tests.conftest import Cli

PAST = "2026-01-01T00:00:00Z"
KEYS = "staging/runs/{}/tls/key.pem"
Left = Callable[[], list[str]]


def start(account: Account, name: str, run: str | None = None) -> str:
    """Start a cluster; with `run`, one of ours that has expired. Return its id."""
    tags = {"fruitscale:run": run, "fruitscale:expires": PAST} if run else {}
    return str(
        account.client("emr").run_job_flow(
            Name=name,
            Instances={"MasterInstanceType": "m5.xlarge", "SlaveInstanceType": "m5.xlarge", "InstanceCount": 2,
                       "KeepJobFlowAliveWhenNoSteps": True},
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            JobFlowRole="EMR_EC2_DefaultRole", ServiceRole="EMR_DefaultRole_V2",
        )["JobFlowId"]
    )  # fmt: skip


def store(account: Account, run: str, kind: str = "emr") -> None:
    """Store what an expired launch leaves: its launch.json and its keys."""
    record = {"created": 0.0, "config": {"cluster": {"kind": kind, "max_hours": 1}}}
    for name, content in ((f"staging/runs/{run}/launch.json", json.dumps(record)), (KEYS.format(run), "key")):
        account.client("s3").put_object(Bucket="photos", Key=name, Body=content.encode())


def keys(account: Account) -> list[str]:
    found = account.client("s3").list_objects_v2(Bucket="photos", Prefix="staging/runs/").get("Contents", ())
    return [each["Key"].split("/")[2] for each in found if "/tls/" in each["Key"]]


def denied_to_describe(*clusters: str) -> Callable[[Asked], Refusal | None]:
    def rule(asked: Asked) -> Refusal | None:
        foreign = asked.operation == "DescribeCluster" and asked.said["ClusterId"] in clusters
        return Refusal("AccessDeniedException") if foreign else None

    return rule


@pytest.fixture
def config(account: Account) -> Iterator[Config]:
    yield account.config("emr")
    account.proxy.rule = lambda asked: None
    emr, s3 = account.client("emr"), account.client("s3")
    emr.terminate_job_flows(JobFlowIds=[each["Id"] for each in emr.list_clusters()["Clusters"]])
    for run in keys(account):
        s3.delete_object(Bucket="photos", Key=KEYS.format(run))


def alive(account: Account, cluster: str) -> bool:
    state = account.client("emr").describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]
    return not str(state).startswith("TERMINATED")


def by_id(found: list[ExpiredResource]) -> dict[str, ExpiredResource]:
    return {each.id: each for each in found}


def test_a_cluster_of_another_name_is_not_asked_for(account: Account, config: Config) -> None:
    theirs, ours = start(account, "warehouse"), start(account, "fruitscale-ours", "ours")
    store(account, "ours")
    account.proxy.rule = denied_to_describe(theirs)
    found = by_id(reap.reap(config))
    assert (found[ours].problem, found[ours].left) == (None, None)
    assert theirs not in found
    assert not [asked for asked in account.proxy.of("DescribeCluster") if asked.said["ClusterId"] == theirs]
    assert (alive(account, ours), keys(account)) == (False, [])
    account.proxy.rule = lambda asked: None
    assert alive(account, theirs)


def test_a_cluster_that_may_not_be_looked_at_is_reported_and_its_keys_stay(account: Account, config: Config) -> None:
    theirs, ours = start(account, "fruitscale-theirs", "theirs"), start(account, "fruitscale-ours", "ours")
    store(account, "theirs")
    store(account, "ours")
    account.proxy.rule = denied_to_describe(theirs)
    found = by_id(reap.reap(config))
    assert (found[theirs].left or "").startswith("no permission to describe it: describe_cluster was refused")
    assert found["s3://photos/staging/runs/theirs/tls"].left == "its machines were not ended"
    assert {each.problem for each in found.values()} == {None}
    assert keys(account) == ["theirs"]
    account.proxy.rule = lambda asked: None
    assert (alive(account, theirs), alive(account, ours)) == (True, False)


@pytest.mark.slow
def test_what_is_left_alone_is_no_failure(cloud_cli: Cli, account: Account, config: Config, tmp_path: Path) -> None:
    theirs = start(account, "fruitscale-theirs", "theirs")
    store(account, "theirs")
    account.proxy.rule = denied_to_describe(theirs)
    shown = cloud_cli("cluster", "reap", "--config", write(config, tmp_path))
    assert shown.code == 0, shown.out + shown.err
    assert f"EMR cluster {theirs} of launch theirs" in shown.out
    assert "left alone: no permission to describe it: describe_cluster was refused (AccessDeniedException)" in shown.out
    assert "tls of launch theirs, with no date of its own: left alone: its machines were not ended" in shown.out


def test_no_key_goes_while_its_machines_may_be_running(account: Account, config: Config) -> None:
    start(account, "fruitscale-ours", "ours")
    store(account, "ours")
    store(account, "dask", "ec2-dask")
    account.proxy.rule = lambda asked: Refusal("AccessDeniedException") if asked.operation == "ListClusters" else None
    found = by_id(reap.reap(config))
    assert found["s3://photos/staging/runs/ours/tls"].left == "EMR clusters could not be listed"
    assert found["s3://photos/staging/runs/dask/tls"].left is None
    assert keys(account) == ["ours"]


def test_a_cluster_that_cannot_be_ended_keeps_its_keys(account: Account, config: Config) -> None:
    ours = start(account, "fruitscale-ours", "ours")
    store(account, "ours")
    ends = "TerminateJobFlows"
    account.proxy.rule = lambda asked: Refusal("AccessDeniedException") if asked.operation == ends else None
    found = by_id(reap.reap(config))
    assert "terminate_job_flows was refused" in (found[ours].problem or "")
    assert keys(account) == ["ours"]
    account.proxy.rule = lambda asked: None
    assert {(each.problem, each.left) for each in reap.reap(config)} == {(None, None)}
    assert keys(account) == []


def test_keys_of_a_launch_that_cannot_be_read_stay(account: Account, config: Config) -> None:
    store(account, "unread")
    account.proxy.rule = lambda asked: Refusal("AccessDenied", 403) if asked.path.endswith("launch.json") else None
    found = by_id(reap.reap(config))
    assert "access is denied" in (found["s3://photos/staging/runs/unread/tls"].left or "")
    assert keys(account) == ["unread"]


def test_an_application_that_may_not_be_looked_at_is_left(account: Account, config: Config) -> None:
    serverless = account.client("emr-serverless")

    def create(name: str, **tags: str) -> str:
        made = serverless.create_application(
            name=name, releaseLabel="emr-7.13.0", type="SPARK", clientToken=name, tags=tags
        )
        return str(made["applicationId"])

    tags = {"fruitscale:run": "mine", "fruitscale:expires": PAST}
    theirs, other, ours = create("fruitscale-yours"), create("etl"), create("fruitscale-mine", **tags)
    account.proxy.clear()
    account.proxy.rule = lambda asked: (
        Refusal("AccessDeniedException", 403)
        if asked.operation == "GetApplication" and asked.path.split("/")[-1] in (theirs, other)
        else None
    )
    found = by_id(reap.reap(config))
    assert "no permission to describe it" in (found[theirs].left or "")
    assert other not in found
    assert (found[ours].problem, found[ours].left) == (None, None)
    account.proxy.rule = lambda asked: None
    for application in (theirs, other):
        serverless.stop_application(applicationId=application)
        serverless.delete_application(applicationId=application)
