"""An Airflow DAG that runs a schedule with Amazon's provider package; Airflow needs no fruitscale."""

from __future__ import annotations

import json
from string import Template

from fruitscale.clusters.account import scheduled_launch
from fruitscale.clusters.account.scheduled_launch import ScheduledLaunch
from fruitscale.config.cluster_section import Emr, EmrServerless

_HEAD = Template('''"""fruitscale: $name. Written by `fruitscale cluster schedule`; needs apache-airflow-providers-amazon."""

import json

import pendulum
from airflow import DAG
$imports

REGION = "$region"
$values

with DAG(
    dag_id="fruitscale_$name_word",
    schedule="$cron",
    start_date=pendulum.datetime(2024, 1, 1, tz="$timezone"),
    catchup=False,
    max_active_runs=1,
    tags=["fruitscale"],
) as dag:
$tasks''')
_EMR_IMPORTS = """from airflow.providers.amazon.aws.hooks.emr import EmrHook
from airflow.providers.amazon.aws.operators.emr import EmrCreateJobFlowOperator, EmrTerminateJobFlowOperator
from airflow.providers.amazon.aws.sensors.emr import EmrJobFlowSensor
from airflow.providers.standard.operators.python import PythonOperator"""
_CONFIGURE = """

def configure():
    \"\"\"Create the security configuration, unless it exists.\"\"\"
    emr = EmrHook(region_name=REGION).get_conn()
    found = emr.get_paginator("list_security_configurations").paginate()
    names = [each["Name"] for page in found for each in page["SecurityConfigurations"]]
    if SECURITY_CONFIGURATION["Name"] not in names:
        emr.create_security_configuration(**SECURITY_CONFIGURATION)
"""
_EMR_TASKS = """    create = EmrCreateJobFlowOperator(task_id="create", job_flow_overrides=CLUSTER, region_name=REGION)
    wait = EmrJobFlowSensor(task_id="wait", job_flow_id=create.output, region_name=REGION, mode="reschedule")
    end = EmrTerminateJobFlowOperator(task_id="end", job_flow_id=create.output, region_name=REGION)
    create >> wait >> end.as_teardown(setups=create)  # ends the cluster in any case, and never hides a failed run
"""
_CONFIGURE_TASK = '    PythonOperator(task_id="configure", python_callable=configure) >> create\n'
_SERVERLESS_TASKS = """    EmrServerlessStartJobOperator(
        task_id="run",
        application_id=APPLICATION,
        execution_role_arn=JOB["executionRoleArn"],
        job_driver=JOB["jobDriver"],
        configuration_overrides=JOB["configurationOverrides"],
        config={key: JOB[key] for key in ("name", "executionTimeoutMinutes", "tags")},
        region_name=REGION,
    )
"""


def dag(scheduled: ScheduledLaunch) -> str:
    """Return the text of the DAG file. On EMR Serverless, the application is cluster.application, or set in the file."""
    cluster = scheduled.launch.cluster
    is_emr = isinstance(cluster, Emr)
    configures = isinstance(cluster, Emr) and cluster.security_configuration is None
    serverless = "from airflow.providers.amazon.aws.operators.emr import EmrServerlessStartJobOperator"
    tasks = _EMR_TASKS + (_CONFIGURE_TASK if configures else "") if is_emr else _SERVERLESS_TASKS
    return _HEAD.substitute(
        name=scheduled.name,
        name_word=scheduled.name.replace("-", "_"),
        imports=_EMR_IMPORTS if is_emr else serverless,
        region=scheduled.launch.region,
        values=_values(scheduled, configures=configures),
        cron=scheduled.cron,
        timezone=scheduled.timezone,
        tasks=tasks,
    )


def _values(scheduled: ScheduledLaunch, *, configures: bool) -> str:
    cluster = scheduled.launch.cluster
    if isinstance(cluster, EmrServerless):
        application = cluster.application or "APPLICATION_ID"
        job = _open(scheduled, scheduled_launch.job_run(scheduled, application))
        return f'APPLICATION = "{application}"\nJOB = {job}'
    text = f"CLUSTER = {_open(scheduled, scheduled_launch.job_flow(scheduled))}"
    if configures:
        text += (
            f"\nSECURITY_CONFIGURATION = {_loaded(scheduled_launch.security_configuration(scheduled))}\n{_CONFIGURE}"
        )
    return text


def _open(scheduled: ScheduledLaunch, request: object) -> str:
    """Return a request as Python, with Jinja templates for the id and the expiry of a night."""
    seconds = round(scheduled.launch.lifetime_seconds)
    night = f"{{{{ ts_nodash | replace('+0000', '') }}}}Z-{scheduled.name}"
    expires = (
        f"{{{{ (macros.datetime.utcnow() + macros.timedelta(seconds={seconds})).strftime('%Y-%m-%dT%H:%M:%SZ') }}}}"
    )
    return _loaded(scheduled_launch.opened(request, night.join, lambda _: expires))


def _loaded(value: object) -> str:
    return f'json.loads(r"""\n{json.dumps(value, indent=2)}\n""")'
