"""Check the IAM policies of the run's role: no service-wide wildcard, no access beyond the run's buckets.

Conditions, permission boundaries and Deny statements are not evaluated: an excess permission that has a condition
"could not be checked".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from fruitscale.config.cluster_section import ClusterFacts
from fruitscale.gdpr.buckets import fails, passes, unknown
from fruitscale.gdpr.findings import AuditFinding, ControlResult, command
from fruitscale.gdpr.iam_policies import ExcessPermission, Policy, foreign_resources, wildcard_actions
from fruitscale.gdpr.services import Services, UnansweredError, answered, ask

EXAMPLE = "file://configs/iam/worker.json"
ARTICLES = ("5(1)(f)", "25", "32(1)(b)")
PERMISSIONS = "iam:List… and iam:Get… of configs/iam/auditor.json"
MOST_LISTED = 6


@dataclass(frozen=True)
class Principal:
    """An IAM role, user or group whose policies are checked."""

    kind: str
    name: str

    @property
    def subject(self) -> str:
        """The subject of its findings."""
        return f"{self.kind} {self.name}"


def find(services: Services, facts: ClusterFacts | None, buckets: Collection[str]) -> Iterator[AuditFinding]:
    """Yield the findings on the roles of the cluster's machines or, without a cluster, on the caller."""
    try:
        principals = _callers(services) if facts is None else _machines(services, facts)
    except UnansweredError as reason:
        yield _finding("role of the run", "actions", _unread(reason), ("IAM.1", "IAM.21"))
        yield _finding("role of the run", "resources", _unread(reason), ("KMS.1",))
        return
    if not principals:
        yield _finding("role of the run", "actions", unknown("the cluster section names no role"), ("IAM.1", "IAM.21"))
    for principal in principals:
        yield from _check_principal(services, principal, buckets)


def _check_principal(services: Services, principal: Principal, buckets: Collection[str]) -> Iterator[AuditFinding]:
    try:
        policies = list(_policies(services.other("iam"), principal))
    except UnansweredError as reason:
        actions = resources = _unread(reason)
    else:
        actions = _answer(principal, list(wildcard_actions(policies)), "no wildcard for a whole service")
        resources = _answer(principal, list(foreign_resources(policies, buckets)), "only the run's buckets and keys")
    yield _finding(principal.subject, "actions", actions, ("IAM.1", "IAM.21"))
    yield _finding(principal.subject, "resources", resources, ("KMS.1",))


def _answer(principal: Principal, found: list[ExcessPermission], good: str) -> ControlResult:
    if not found:
        return passes(good)
    excess = list(dict.fromkeys(f"{each.what} ({each.policy.name})" for each in found))
    text = ", ".join(excess[:MOST_LISTED]) + (
        f" and {len(excess) - MOST_LISTED} more" if len(excess) > MOST_LISTED else ""
    )
    remedy = _replace(principal, next((e for e in found if not e.narrowed), found[0]).policy)
    if all(each.narrowed for each in found):
        return unknown(f"{text}: unless its conditions narrow this", remedy)
    return fails(text, remedy)


def _replace(principal: Principal, policy: Policy) -> str:
    name = f"--{principal.kind}-name"
    put = command(
        "iam", f"put-{principal.kind}-policy", name, principal.name, "--policy-name",
        policy.name if policy.arn is None else "fruitscale", "--policy-document", EXAMPLE,
    )  # fmt: skip
    if policy.arn is None:
        return put
    detach = command("iam", f"detach-{principal.kind}-policy", name, principal.name, "--policy-arn", policy.arn)
    return f"{put} && {detach}"


def _callers(services: Services) -> list[Principal]:
    """Return the caller and, for a user, the user's groups."""
    identity = ask(services.other("sts").get_caller_identity)
    assert identity is not None
    kind, _, rest = identity["Arn"].split(":", 5)[-1].partition("/")
    if kind == "assumed-role":
        return [Principal("role", rest.split("/")[-2])]
    if kind != "user":
        raise UnansweredError(f"{identity['Arn']} is neither a role nor a user")
    user = Principal("user", rest.split("/")[-1])
    with answered():
        groups = _every(services.other("iam"), "list_groups_for_user", "Groups", UserName=user.name)
    return [user, *(Principal("group", group["GroupName"]) for group in groups)]


def _machines(services: Services, facts: ClusterFacts) -> list[Principal]:
    """Return the roles of the cluster's machines, by name."""
    names = [role.rsplit("/", 1)[-1] for role in facts.roles]
    for profile in facts.instance_profiles:
        name = profile.rsplit("/", 1)[-1]
        response = ask(services.other("iam").get_instance_profile, InstanceProfileName=name)
        assert response is not None
        names += [role["RoleName"] for role in response["InstanceProfile"]["Roles"]]
    return [Principal("role", name) for name in dict.fromkeys(names)]


def _policies(iam: Any, principal: Principal) -> Iterator[Policy]:  # noqa: ANN401  boto3 has no types of its own
    kind, named = principal.kind, {f"{principal.kind.title()}Name": principal.name}
    with answered():
        for name in _every(iam, f"list_{kind}_policies", "PolicyNames", **named):
            inline = getattr(iam, f"get_{kind}_policy")(**named, PolicyName=name)
            yield Policy(name, inline["PolicyDocument"])
        for attached in _every(iam, f"list_attached_{kind}_policies", "AttachedPolicies", **named):
            arn = attached["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
            yield Policy(attached["PolicyName"], document, arn)


def _every(iam: Any, operation: str, key: str, **arguments: str) -> list[Any]:  # noqa: ANN401
    pages: Callable[..., Any] = iam.get_paginator(operation).paginate
    return [each for page in pages(**arguments) for each in page[key]]


def _unread(reason: UnansweredError) -> ControlResult:
    return unknown(f"{reason}; {PERMISSIONS} are needed")


def _finding(subject: str, setting: str, answer: ControlResult, references: tuple[str, ...]) -> AuditFinding:
    return AuditFinding(subject, setting, answer.verdict, answer.found, ARTICLES, references, answer.remedy)
