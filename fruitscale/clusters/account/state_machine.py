"""The Step Functions state machine of a schedule on EMR: record the launch, create the cluster, run its step, end it."""

from __future__ import annotations

import json
from typing import Any

from fruitscale.clusters.account import scheduled_launch
from fruitscale.clusters.account.scheduled_launch import ScheduledLaunch
from fruitscale.clusters.launch import RECORD, staging_uri
from fruitscale.storage.partitions import partition_of
from fruitscale.uris import parse_s3

GRACE_SECONDS = 900
"""The driver ends its run itself; a step that still runs after this time is ended with its cluster."""
_CLOCK = "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01]Z"


def definition(scheduled: ScheduledLaunch) -> dict[str, Any]:
    """Return the state machine. Values that differ each night are JSONata expressions."""
    request = open_request(scheduled_launch.job_flow(scheduled))
    (step,) = request.pop("Steps")
    request["Instances"] |= {"KeepJobFlowAliveWhenNoSteps": True}  # as createCluster requires
    seconds = round(scheduled.launch.lifetime_seconds)
    caught = [{"ErrorEquals": ["States.ALL"], "Assign": {"failed": True}, "Next": "End"}]
    ids = f"{{% $fromMillis($millis(), '[Y0001][M01][D01]T[H01][m01][s01]Z') & '-{scheduled.name}' %}}"
    expires = f"{{% $fromMillis($millis() + {seconds * 1000}, '{_CLOCK}') %}}"
    return {
        "Comment": f"fruitscale: {scheduled.name}",
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "States": {
            "Begin": {"Type": "Pass", "Assign": {"id": ids, "expires": expires, "failed": False}, "Next": "Record"},
            "Record": _task(scheduled, "aws-sdk:s3:putObject", _record(scheduled), "Create"),
            "Create": {
                **_task(scheduled, "elasticmapreduce:createCluster.sync", request, "Work"),
                "Assign": {"cluster": "{% $states.result.ClusterId %}"},
            },
            "Work": {
                **_task(
                    scheduled, "elasticmapreduce:addStep.sync", {"ClusterId": "{% $cluster %}", "Step": step}, "End"
                ),
                "TimeoutSeconds": seconds + GRACE_SECONDS,
                "Catch": caught,
            },
            "End": _task(scheduled, "elasticmapreduce:terminateCluster.sync", {"ClusterId": "{% $cluster %}"}, "Judge"),
            "Judge": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $failed %}", "Next": "Failed"}],
                "Default": "Succeeded",
            },
            "Failed": {
                "Type": "Fail",
                "Cause": f"The run failed: see runs/ID/logs in {staging_uri(scheduled.launch.config)}",
            },
            "Succeeded": {"Type": "Succeed"},
        },
    }


def open_request(value: Any) -> Any:  # noqa: ANN401  any JSON
    """Return a request with JSONata expressions for the id and the expiry of a night."""

    def night(parts: list[str]) -> str:
        texts = [json.dumps(part) for part in parts]
        return f"{{% {' & $id & '.join(texts)} %}}"

    return scheduled_launch.opened(value, night, lambda _: "{% $expires %}")


def _task(scheduled: ScheduledLaunch, action: str, arguments: dict[str, Any], following: str) -> dict[str, Any]:
    resource = f"arn:{partition_of(scheduled.launch.region).name}:states:::{action}"
    return {"Type": "Task", "Resource": resource, "Arguments": arguments, "Next": following}


def _record(scheduled: ScheduledLaunch) -> dict[str, Any]:
    """Return the request that writes launch.json, with which `cluster status`, `logs` and `reap` find the launch."""
    launch = scheduled.launch
    bucket, prefix = parse_s3(launch.uri)
    values = json.dumps({"owner": launch.owner, "config": launch.config.model_dump(mode="json")})
    times = f"'created': $millis() / 1000, 'expires': $millis() / 1000 + {round(launch.lifetime_seconds)}"
    body = f"{{% $string($merge([{values}, {{'id': $id, {times}}}])) %}}"
    return {"Bucket": bucket, "Key": open_request(f"{prefix}/{RECORD}"), "Body": body}
