"""From an empty account to a launch that is watched, stopped and reaped, with another tenant's machines beside it.

The account is moto; tests/cloud/formation.py makes what moto's CloudFormation leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from fruitscale.clusters import cluster_run, launch_control, launch_plan, reap
from fruitscale.clusters.check_results import CheckVerdict
from fruitscale.clusters.launch import LOG, RUN
from fruitscale.gdpr.audit import audit
from fruitscale.gdpr.findings import AuditVerdict
from tests.cloud.agent import set_job_state
from tests.cloud.cloud import Asked, Refusal
from tests.cloud.simulated_account import Account
from tests.cloud.test_setup import conditions, empty_config, set_up

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")
slow = pytest.mark.slow
__all__ = ["conditions"]  # a fixture of every test here


@pytest.fixture
def tenant(account: Account) -> Iterator[str]:
    """Another tenant's cluster and application, at which nobody else may look."""
    emr, serverless = account.client("emr"), account.client("emr-serverless")
    groups = [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}]
    instances = {"InstanceGroups": groups, "KeepJobFlowAliveWhenNoSteps": True}
    cluster = emr.run_job_flow(Name="theirs", ReleaseLabel="emr-7.0.0", Instances=instances, ServiceRole="r",
                               JobFlowRole="r", Tags=[{"Key": "team", "Value": "theirs"}])["JobFlowId"]  # fmt: skip
    application = serverless.create_application(name="theirs", releaseLabel="emr-7.0.0", type="SPARK")["applicationId"]

    def refuse(asked: Asked) -> Refusal | None:
        theirs = cluster in asked.body.decode(errors="replace") or application in asked.path
        return Refusal("AccessDeniedException", 400, "this is another tenant's") if theirs else None

    account.proxy.rule = refuse
    yield cluster
    account.proxy.rule = lambda asked: None
    emr.terminate_job_flows(JobFlowIds=[cluster])
    serverless.stop_application(applicationId=application)
    serverless.delete_application(applicationId=application)


@pytest.mark.parametrize(
    ("kind", "minimal"),
    [
        ("ec2-dask", True),
        pytest.param("ec2-dask", False, marks=slow),
        pytest.param("emr", True, marks=slow),
        pytest.param("emr", False, marks=slow),
        pytest.param("emr-serverless", True, marks=slow),
        pytest.param("emr-serverless", False, marks=slow),
    ],
)
def test_an_empty_account_launches_after_the_setup(
    account: Account, kind: str, minimal: bool, tenant: str, left: Callable[[], list[str]]
) -> None:
    size = {"workers": 1} if kind == "ec2-dask" else {}
    values = empty_config(kind, owner="tests", requirements=str(account.lock_path), **size)
    config = set_up(account, values, minimal=minimal)
    assert audit(config).of(AuditVerdict.FAIL) == ()
    assert [c for c in launch_plan.plan(config).checks if c.verdict is CheckVerdict.FAIL] == []
    set_job_state("RUNNING")
    launch = cluster_run.run(config, detach=True).launch
    status = launch_control.status(config)
    assert (status.launch.id, status.cluster.outcome) == (launch.id, None)
    launch.store().write(LOG, b"Featurize: 3 of 24 images\n")
    assert launch_control.log(config) == "Featurize: 3 of 24 images\n"
    assert [each for each in reap.reap(config) if each.run == launch.id or not each.problem] == []
    launch_control.stop(config)
    set_job_state("SUCCESS")
    assert [each for each in left() if launch.id in each] == []
    assert RUN in launch.tags


@slow
def test_what_is_expired_is_reaped_beside_what_may_not_be_looked_at(
    account: Account, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = empty_config("emr", owner="tests", requirements=str(account.lock_path), max_hours=0.5)
    config = set_up(account, values, minimal=True)
    launch = cluster_run.run(config, detach=True).launch
    monkeypatch.setattr(reap, "time", SimpleNamespace(time=lambda: launch.expires + 1))
    ended = [each for each in reap.reap(config) if each.run == launch.id]
    assert {each.what for each in ended} >= {"EMR cluster", "EMR security configuration", "keys"}
    assert {each.problem for each in ended} == {None}
