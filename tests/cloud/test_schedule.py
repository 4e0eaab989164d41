"""fruitscale cluster schedule: what a night runs is what a launch runs, and no machine of ours is needed."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from fruitscale.clusters import emr_requests
from fruitscale.clusters.account import account_schedule, scheduled_launch, setup_template
from fruitscale.clusters.account.schedule_template import pascal, schedule_template
from fruitscale.clusters.account.scheduled_launch import NIGHT, ScheduledLaunch, aws_cron
from fruitscale.clusters.account.state_machine import GRACE_SECONDS, definition
from fruitscale.clusters.bundle import UploadedBundle
from fruitscale.clusters.launch import JOB, Launch
from fruitscale.clusters.machines import driver
from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError
from fruitscale.storage import residency
from fruitscale.storage.partitions import partition_of
from fruitscale.storage.s3 import S3Store
from tests.cloud.cloud import ACCOUNT, REGION
from tests.cloud.simulated_account import KEY, Account, write
from tests.cloud.test_setup import LINTED, lint
from tests.conftest import Cli

BUNDLE = UploadedBundle(
    "s3://stg/f/bundles/a", "0" * 64, "s3://stg/f/wheels/b", "s3://stg/f/archives/c.tar.gz", "s3://stg/f/models/d"
)
KINDS = ("emr", "emr-serverless")


def config_of(kind: str, region: str = REGION) -> Config:
    partition = partition_of(region).name
    key = KEY.replace(REGION, region).replace("arn:aws:", f"arn:{partition}:")
    cluster = {"kind": kind, "owner": "tests", "max_hours": 3}
    if kind == "emr":
        cluster |= {"subnets": ["subnet-0123456789abcdef0"], "disk_key": key, "service_role": "service",
                    "instance_profile": "worker"}  # fmt: skip
    else:
        cluster |= {"execution_role": f"arn:{partition}:iam::{ACCOUNT}:role/worker"}
    storage = {"region": region, "staging_uri": "s3://stg/f"}
    places = {"input": {"uri": "s3://photos/in"}, "output": {"uri": "s3://res/runs/a"}}
    return from_mapping({"engine": "spark", **places, "storage": storage, "cluster": cluster})


def scheduled_of(kind: str, cron: str = "0 2 * * *", region: str = REGION) -> ScheduledLaunch:
    return ScheduledLaunch("nightly", cron, "Europe/Paris", Launch(NIGHT, config_of(kind, region), 0, "tests"), BUNDLE)


def test_a_night_on_emr_is_a_launch() -> None:
    scheduled = scheduled_of("emr")
    launch, states = scheduled.launch, definition(scheduled)["States"]
    launched = emr_requests.job_flow(launch, launch.cluster, BUNDLE)  # type: ignore[arg-type]
    created = states["Create"]["Arguments"]
    assert "Steps" not in created
    for key in set(launched) - {"Name", "Tags", "Steps", "Instances", "SecurityConfiguration"}:
        assert created[key] == launched[key]
    assert created["Instances"] == launched["Instances"] | {"KeepJobFlowAliveWhenNoSteps": True}
    step = states["Work"]["Arguments"]["Step"]["HadoopJarStep"]["Args"]
    expected = launched["Steps"][0]["HadoopJarStep"]["Args"]
    assert [a for a, b in zip(step, expected, strict=False) if a == b] == [a for a in expected if NIGHT not in a]
    assert step[-2:] == ["--job", "s3://stg/f/schedules/nightly"]
    record = states["Record"]["Arguments"]
    assert record["Key"] == '{% "f/runs/" & $id & "/launch.json" %}'
    assert all(f"'{key}': " in record["Body"] for key in ("id", "created", "expires"))
    tags = {tag["Key"]: tag["Value"] for tag in created["Tags"]}
    assert tags["fruitscale:expires"] == "{% $expires %}"
    assert tags["fruitscale:run"] == '{% "" & $id & "" %}'
    assert states["Work"]["TimeoutSeconds"] == 3 * 3600 + GRACE_SECONDS
    assert states["Work"]["Catch"][0]["Next"] == states["Work"]["Next"] == "End"  # the cluster ends in any case


def test_a_night_on_emr_serverless_is_a_launch() -> None:
    scheduled = scheduled_of("emr-serverless")
    launch = scheduled.launch
    schedule = schedule_template(scheduled, ACCOUNT)["Resources"]["Schedule"]["Properties"]
    asked = json.loads(schedule["Target"]["Input"]["Fn::Sub"])
    launched = pascal(emr_requests.job_run(launch, launch.cluster, BUNDLE, "${Application}"))  # type: ignore[arg-type]
    arguments = asked["JobDriver"]["SparkSubmit"].pop("EntryPointArguments")
    del launched["JobDriver"]["SparkSubmit"]["EntryPointArguments"]
    for key in set(launched) - {"Name", "Tags", "ClientToken"}:
        assert asked[key] == launched[key]
    assert arguments[1] == "s3://stg/f/runs/<aws.scheduler.execution-id>"
    assert schedule["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:emrserverless:startJobRun"


def test_reap_leaves_a_schedules_application_alone() -> None:
    application = schedule_template(scheduled_of("emr-serverless"), ACCOUNT)["Resources"]["Application"]["Properties"]
    assert not {"fruitscale:run", "fruitscale:expires"} & {tag["Key"] for tag in application["Tags"]}
    assert not scheduled_launch.security_configuration(scheduled_of("emr"))["Name"].startswith("fruitscale-")


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 2 * * *", "cron(0 2 * * ? *)"),
        ("30 1 1 * *", "cron(30 1 1 * ? *)"),
        ("0 2 * * 1-5", "cron(0 2 ? * MON-FRI *)"),
        ("0 2 * * 0", "cron(0 2 ? * SUN *)"),
        ("*/15 8-18/2 * 1,6 mon", "cron(*/15 8-18/2 ? 1,6 MON *)"),
    ],
)
def test_crontab_as_aws_writes_it(cron: str, expected: str) -> None:
    assert aws_cron(cron) == expected


@pytest.mark.parametrize("cron", ["", "nightly", "0 2 * *", "0 2 1 * 1", "cron(0 2 * * ? *)", "0 2 * * ; rm"])
def test_what_is_no_crontab_is_refused(cron: str) -> None:
    with pytest.raises(UsageError, match=r"cron schedule|a day and a weekday"):
        aws_cron(cron)


@pytest.mark.parametrize("region", LINTED)
def test_cfn_lint_has_no_objection(region: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{kind}.yaml" for kind in KINDS]
    for kind, file in zip(KINDS, files, strict=True):
        made = schedule_template(scheduled_of(kind, region=region), ACCOUNT)
        file.write_text(setup_template.as_text(made, file.name))
    linted = lint(files, region)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_dag_parses_and_makes_the_same_requests(kind: str) -> None:
    scheduled = scheduled_of(kind)
    text = account_schedule.dag(scheduled)
    compile(text, "dag.py", "exec")
    assert NIGHT not in text
    assert ("as_teardown" in text) == (kind == "emr")  # ends the cluster, without hiding that the run failed
    head = text[text.index("REGION =") : text.index("def configure" if kind == "emr" else "with DAG")]
    values: dict[str, Any] = {"json": json}
    exec(head, values)
    night = "20260131T020000Z-nightly"
    if kind == "emr":
        launched, found = scheduled_launch.job_flow(scheduled), values["CLUSTER"]
    else:
        launched, found = scheduled_launch.job_run(scheduled, "APPLICATION_ID"), values["JOB"]
    rendered = json.dumps(found).replace("{{ ts_nodash | replace('+0000', '') }}", night.partition("Z")[0])
    rendered = re.sub(r"\{\{ \(macros.*?\}\}", launched_expiry(scheduled), rendered)
    assert json.loads(rendered) == json.loads(json.dumps(launched).replace(NIGHT, night))


def launched_expiry(scheduled: ScheduledLaunch) -> str:
    return scheduled.launch.tags["fruitscale:expires"]


@pytest.mark.slow
def test_a_schedule_is_staged_and_its_stack_created(cloud_cli: Cli, account: Account, tmp_path: Path) -> None:
    path = write(account.config("emr"), tmp_path)
    words = ["cluster", "schedule", "--config", path, "--cron", "0 2 * * *", "--airflow", tmp_path / "dag.py"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # moto's, about schedules
        made = cloud_cli(*words, "--apply", "--yes", "--template", tmp_path / "stack.yaml")
    assert made.code == 0, made.out + made.err
    assert "AWS::Scheduler::Schedule" in made.out
    compile((tmp_path / "dag.py").read_text(), "dag.py", "exec")
    store = S3Store("s3://photos/staging/schedules/nightly", residency.settle(account.config("emr").storage))
    job = json.loads(store.read(JOB))
    assert (job["until"], job["seconds"]) == (None, 12 * 3600)
    assert store.exists("tls/certificates.zip")
    machines = account.client("stepfunctions").list_state_machines()["stateMachines"]
    assert len(machines) == 1
    again = cloud_cli(*words, "--apply", "--yes")
    assert again.code == 0, again.out + again.err


def test_the_driver_counts_a_schedules_deadline_from_its_start(account: Account) -> None:
    storage = residency.settle(account.config("emr").storage)
    job = {
        "config": {"storage": storage.model_dump(mode="json")},
        "until": None,
        "seconds": 7200,
        "machines": {"began": None},
    }
    S3Store("s3://photos/staging/schedules/x", storage).write(JOB, json.dumps(job).encode())
    uri, before = "s3://photos/staging/schedules/x", time.time()
    store = driver.open_folder("s3://photos/staging/runs/y", REGION, uri)
    read = driver.read_job(S3Store(uri, store.storage))
    assert before + 7200 <= read["until"] <= time.time() + 7200
    assert before <= read["machines"]["began"] <= time.time()
