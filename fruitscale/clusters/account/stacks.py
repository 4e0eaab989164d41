"""CloudFormation stacks: create or update one through a change set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fruitscale.errors import ClusterError
from fruitscale.storage import aws

READY_SECONDS, DONE_SECONDS = 300, 1800
DEAD = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
EMPTY = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class StackChange:
    """One change of a change set."""

    action: str
    name: str
    kind: str
    replaced: bool


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed; if it has no changes, the stack is up to date, and `name` may be None."""

    stack: str
    name: str | None
    is_new: bool
    changes: tuple[StackChange, ...]


class Stacks:
    """The CloudFormation stacks of a region."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self._client = client

    def find(self, stack: str) -> dict[str, Any] | None:
        """Return a stack's description; None if there is none."""
        try:
            found: dict[str, Any] = aws.ask(self._client, "describe_stacks", StackName=stack)["Stacks"][0]
        except ClusterError as error:
            if "does not exist" in error.message:
                return None
            raise
        return None if found["StackStatus"] in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS") else found

    def metadata(self, stack: str) -> dict[str, Any]:
        """Return the metadata of a stack's template."""
        found = aws.ask(self._client, "get_template", StackName=stack)["TemplateBody"]
        if isinstance(found, str):
            import yaml

            found = yaml.safe_load(found)  # JSON is YAML
        return dict(found.get("Metadata", {}))

    def resources(self, stack: str) -> dict[str, str]:
        """Return the physical ids of a stack's resources, by logical id."""
        found = aws.pages(self._client, "list_stack_resources", "StackResourceSummaries", StackName=stack)
        return {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in found}

    def propose(self, stack: str, body: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> ChangeSet:
        """Create a change set for a stack, new or not. Raises ClusterError."""
        found = self.find(stack)
        if found is not None and found["StackStatus"] in DEAD:
            raise ClusterError(
                f"The stack {stack} is {found['StackStatus']}: CloudFormation can't update it.",
                f"Delete it, which keeps its buckets and key, and repeat: aws cloudformation delete-stack --stack-name {stack}",
            )
        name = f"fruitscale-{int(time.time() * 1000)}"
        request = {
            "StackName": stack, "ChangeSetName": name, "TemplateBody": body,
            "ChangeSetType": "CREATE" if found is None else "UPDATE", "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Tags": aws.tag_list(dict(tags)),
        }  # fmt: skip
        try:
            aws.ask(self._client, "create_change_set", **request)
        except ClusterError as error:
            if not _is_empty(error.message):
                raise
            return ChangeSet(stack, None, False, ())
        return ChangeSet(stack, name, found is None, self._changes(stack, name))

    def execute(self, change_set: ChangeSet, report: Callable[[str], None]) -> None:
        """Carry out a change set and wait until the stack is complete. Raises ClusterError with AWS's first reason."""
        stack = change_set.stack
        aws.ask(self._client, "execute_change_set", StackName=stack, ChangeSetName=change_set.name)
        report(f"CloudFormation is {'creating' if change_set.is_new else 'updating'} the stack {stack}")

        def is_done() -> bool:
            return not str((self.find(stack) or {"StackStatus": "GONE"})["StackStatus"]).endswith("IN_PROGRESS")

        aws.wait(is_done, DONE_SECONDS, f"The stack {stack} is not complete")
        status = (self.find(stack) or {"StackStatus": "GONE"})["StackStatus"]
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise ClusterError(
                f"The stack {stack} is {status}: {self._first_failure(stack)}",
                "CloudFormation has rolled its changes back. Fix the cause and repeat the command.",
            )

    def discard(self, change_set: ChangeSet) -> None:
        """Delete a change set, and the empty stack that was created for it."""
        if change_set.name is None:
            return
        aws.ask(self._client, "delete_change_set", StackName=change_set.stack, ChangeSetName=change_set.name)
        if change_set.is_new:
            aws.ask(self._client, "delete_stack", StackName=change_set.stack)

    def _changes(self, stack: str, name: str) -> tuple[StackChange, ...]:
        answer: dict[str, Any] = {}

        def is_ready() -> bool:
            answer.update(aws.ask(self._client, "describe_change_set", StackName=stack, ChangeSetName=name))
            return answer["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS")

        aws.wait(is_ready, READY_SECONDS, f"The change set of {stack} is not ready")
        reason = answer.get("StatusReason", "")
        if answer["Status"] == "FAILED" and not _is_empty(reason):
            raise ClusterError(f"CloudFormation refuses the template: {reason}", "Nothing was changed.")
        return tuple(_change(each["ResourceChange"]) for each in answer.get("Changes", ()))

    def _first_failure(self, stack: str) -> str:
        events = list(aws.pages(self._client, "describe_stack_events", "StackEvents", StackName=stack))
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        if not failed:
            return "no reason was given"
        return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', 'no reason was given')}"


def _is_empty(reason: str) -> bool:
    return any(text in reason for text in EMPTY)


def _change(change: dict[str, Any]) -> StackChange:
    return StackChange(
        change["Action"], change["LogicalResourceId"], change["ResourceType"], change.get("Replacement") == "True"
    )
