"""A schedule as a CloudFormation template: EventBridge Scheduler, and a state machine or an EMR Serverless application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fruitscale.clusters import emr_requests
from fruitscale.clusters.account import scheduled_launch
from fruitscale.clusters.account.scheduled_launch import ScheduledLaunch
from fruitscale.clusters.account.setup_choices import ACCOUNT
from fruitscale.clusters.account.state_machine import definition
from fruitscale.clusters.launch import EXPIRES, RUN
from fruitscale.config.cluster_section import Emr, EmrServerless
from fruitscale.gdpr import policy_documents

RETRIES = 2
NIGHT_ID = "<aws.scheduler.execution-id>"
"""EventBridge Scheduler replaces this by the id of the execution."""


def schedule_template(scheduled: ScheduledLaunch, account: str) -> dict[str, Any]:
    """Return the template of a schedule."""
    resources = _emr(scheduled, account) if isinstance(scheduled.launch.cluster, Emr) else _serverless(scheduled)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"fruitscale: the schedule {scheduled.name}, {scheduled.cron} ({scheduled.timezone})",
        "Resources": resources,
    }


def _emr(scheduled: ScheduledLaunch, account: str) -> dict[str, Any]:
    made = {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "DefinitionString": json.dumps(definition(scheduled)),
                "RoleArn": {"Fn::GetAtt": ["MachineRole", "Arn"]},
            },
        },
        "MachineRole": _role(scheduled, "states", _machine_statements(scheduled, account)),
        "SchedulerRole": _role(
            scheduled, "scheduler", [_allow("StartTheMachine", ["states:StartExecution"], {"Ref": "Machine"})]
        ),
        "Schedule": _schedule(scheduled, {"Ref": "Machine"}, "{}"),
    }
    if scheduled.launch.cluster.kind == "emr" and not getattr(scheduled.launch.cluster, "security_configuration", None):
        request = scheduled_launch.security_configuration(scheduled)
        request["SecurityConfiguration"] = json.loads(request["SecurityConfiguration"])
        made["SecurityConfiguration"] = {"Type": "AWS::EMR::SecurityConfiguration", "Properties": request}
        made["Machine"]["DependsOn"] = "SecurityConfiguration"
    return made


def _serverless(scheduled: ScheduledLaunch) -> dict[str, Any]:
    cluster = scheduled.launch.cluster
    assert isinstance(cluster, EmrServerless)
    application = cluster.application or "${Application}"
    request = pascal(scheduled_launch.job_run(scheduled, application))
    request["ClientToken"] = NIGHT_ID
    text = json.dumps(scheduled_launch.opened(request, NIGHT_ID.join, lambda text: text))
    partition = policy_documents.blanks_of_region(scheduled.launch.region)["PARTITION"]
    arn = f"arn:{partition}:emr-serverless:{scheduled.launch.region}:{ACCOUNT}:/applications/{application}"
    jobs = [{"Fn::Sub": arn}, {"Fn::Sub": f"{arn}/jobruns/*"}]
    start = _allow("StartTheJob", ["emr-serverless:StartJobRun", "emr-serverless:TagResource"], jobs)
    pass_role = _allow("GiveJobsTheirRole", ["iam:PassRole"], cluster.execution_role)
    domain = policy_documents.blanks_of_region(scheduled.launch.region)["SERVICE_DOMAIN"]
    pass_role["Condition"] = {"StringEquals": {"iam:PassedToService": f"emr-serverless.{domain}"}}
    target = f"arn:{partition}:scheduler:::aws-sdk:emrserverless:startJobRun"
    made = {
        "SchedulerRole": _role(scheduled, "scheduler", [start, pass_role]),
        "Schedule": _schedule(scheduled, target, {"Fn::Sub": text} if "${" in text else text),
    }
    return made | ({} if cluster.application else {"Application": _application(scheduled, cluster)})


def _application(scheduled: ScheduledLaunch, cluster: EmrServerless) -> dict[str, Any]:
    """Return the application of all nights, which costs nothing while no job runs."""
    made = pascal(emr_requests.application(scheduled.launch, cluster))
    tags = {key: value for key, value in made.pop("Tags").items() if key not in (RUN, EXPIRES)}
    del made["ClientToken"]
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    properties = {**made, "Name": scheduled.configuration, "Tags": tag_list}
    return {"Type": "AWS::EMRServerless::Application", "Properties": properties}


def pascal(value: Any) -> Any:  # noqa: ANN401  any JSON
    """Return a request with capitalized keys, as AWS's schedulers and templates have them; keys of tags stay as they are."""
    if isinstance(value, Mapping):
        return {key[0].upper() + key[1:]: each if key == "tags" else pascal(each) for key, each in value.items()}
    return [pascal(each) for each in value] if isinstance(value, list) else value


def _schedule(scheduled: ScheduledLaunch, target: Any, content: Any) -> dict[str, Any]:  # noqa: ANN401
    properties = {
        "ScheduleExpression": scheduled_launch.aws_cron(scheduled.cron),
        "ScheduleExpressionTimezone": scheduled.timezone,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": target,
            "RoleArn": {"Fn::GetAtt": ["SchedulerRole", "Arn"]},
            "Input": content,
            "RetryPolicy": {"MaximumRetryAttempts": RETRIES},
        },
    }
    return {"Type": "AWS::Scheduler::Schedule", "Properties": properties}


def _role(scheduled: ScheduledLaunch, service: str, statements: list[dict[str, Any]]) -> dict[str, Any]:
    domain = policy_documents.blanks_of_region(scheduled.launch.region)["SERVICE_DOMAIN"]
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.{domain}"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    policy = {"Version": "2012-10-17", "Statement": statements}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "fruitscale", "PolicyDocument": policy}],
        },
    }


def _machine_statements(scheduled: ScheduledLaunch, account: str) -> list[dict[str, Any]]:
    """Return the permissions of the state machine: those of a launcher, to add the step, and to receive EMR's events."""
    config, region = scheduled.launch.config, scheduled.launch.region
    values = policy_documents.values_of(config, account)
    partition = values["PARTITION"]
    clusters = f"arn:{partition}:elasticmapreduce:{region}:{account}:cluster/*"
    rules = f"arn:{partition}:events:{region}:{account}:rule/StepFunctionsGetEventForEMR*"
    step = ["elasticmapreduce:AddJobFlowSteps", "elasticmapreduce:CancelSteps", "elasticmapreduce:DescribeStep"]
    ours = _allow("RunItsStep", step, clusters)
    ours["Condition"] = {"StringLike": {"elasticmapreduce:ResourceTag/fruitscale:run": "*"}}
    launches: list[dict[str, Any]] = policy_documents.filled("launch-emr", values)["Statement"]
    events = _allow("GetEventsOfClusters", ["events:DescribeRule", "events:PutRule", "events:PutTargets"], rules)
    return [*launches, ours, events]


def _allow(name: str, actions: list[str], resource: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}
