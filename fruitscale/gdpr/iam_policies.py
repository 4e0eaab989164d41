"""Read bucket and role policies: excess permissions, outside principals, and denial of requests without TLS."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]
TLS_SID = "OnlyWithTls"
GUARDED = ("s3", "kms", "iam", "sts", "secretsmanager")
"""Services on which a run must not have every resource: photos, keys, and other roles' rights."""


@dataclass(frozen=True)
class Policy:
    """A policy of a role or user: inline (`arn` is None) or attached."""

    name: str
    document: Document
    arn: str | None = None


@dataclass(frozen=True)
class ExcessPermission:
    """An excess permission of a statement; `narrowed`: it has a condition, which is not evaluated."""

    policy: Policy
    what: str
    narrowed: bool


@dataclass(frozen=True)
class ExternalPrincipal:
    """A principal to whom a bucket policy grants access; `narrowed`: under a condition, not evaluated."""

    who: str
    narrowed: bool

    @property
    def is_everybody(self) -> bool:
        """Whether this is everyone."""
        return self.who in ("*", "everybody but some")


def statements(document: Document, effect: str) -> list[dict[str, Any]]:
    """Return the statements of a policy with this effect (Allow or Deny)."""
    found = document.get("Statement", ())
    every = [found] if isinstance(found, Mapping) else list(found)
    return [dict(statement) for statement in every if statement.get("Effect") == effect]


def values(statement: Mapping[str, Any], key: str) -> list[str]:
    """Return the values of a key in a statement, which may be one string or a list."""
    found = statement.get(key, ())
    return [str(each) for each in ([found] if isinstance(found, str | bool) else found)]


def requires_tls(document: Document, bucket_arn: str) -> bool:
    """Return whether a bucket policy denies all requests without TLS, for every principal."""
    denied = [
        resource
        for statement in statements(document, "Deny")
        if _is_everybody(statement.get("Principal"))
        and {action.lower() for action in values(statement, "Action")} & {"*", "s3:*"}
        and _only_without_tls(statement.get("Condition", {}))
        for resource in values(statement, "Resource")
    ]
    expected = (bucket_arn, f"{bucket_arn}/any/object")
    return all(any(_matches(each, pattern) for pattern in denied) for each in expected)


def with_tls(document: Document | None, bucket_arn: str) -> dict[str, Any]:
    """Return the bucket policy plus a statement that denies requests without TLS."""
    denied = {
        "Sid": TLS_SID,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    if document is None:
        return {"Version": "2012-10-17", "Statement": [denied]}
    there = document.get("Statement", [])
    kept = [there] if isinstance(there, Mapping) else [each for each in there if each.get("Sid") != TLS_SID]
    return {**document, "Statement": [*kept, denied]}


def outsiders(document: Document, account: str) -> list[ExternalPrincipal]:
    """Return the principals with access other than the account itself and AWS services."""
    return [
        ExternalPrincipal(who, "Condition" in statement)
        for statement in statements(document, "Allow")
        for who in _principals(statement)
        if _account_of(who) != account
    ]


def without_outsiders(document: Document, account: str) -> dict[str, Any]:
    """Return the bucket policy without the statements that grant access to outsiders."""
    let_in = [each for each in statements(document, "Allow") if set(map(_account_of, _principals(each))) - {account}]
    every = document.get("Statement", [])
    kept = [each for each in ([every] if isinstance(every, Mapping) else every) if each not in let_in]
    return {**document, "Statement": kept}


def wildcard_actions(policies: Iterable[Policy]) -> Iterator[ExcessPermission]:
    """Yield permissions for every action, or for every action of a service."""
    for policy in policies:
        for statement in statements(policy.document, "Allow"):
            broad = [action for action in values(statement, "Action") if action == "*" or action.endswith(":*")]
            broad += ["everything but some actions"] if "NotAction" in statement else []
            for action in broad:
                yield ExcessPermission(policy, action, "Condition" in statement)


def foreign_resources(policies: Iterable[Policy], buckets: Collection[str]) -> Iterator[ExcessPermission]:
    """Yield permissions on other buckets than these, or on every key, role or secret."""
    for policy in policies:
        for statement in statements(policy.document, "Allow"):
            for what in _foreign(statement, buckets):
                yield ExcessPermission(policy, what, "Condition" in statement)


def _foreign(statement: Mapping[str, Any], buckets: Collection[str]) -> Iterator[str]:
    services = _guarded_services(statement)
    if services and "NotResource" in statement:
        yield f"{', '.join(services)} on everything but some resources"
    for resource in values(statement, "Resource"):
        if resource.startswith("arn:") and resource.count(":") >= 5:
            service = resource.split(":")[2]
            touched = [service] if service in services else services if _is_wild(service) else []
        else:
            touched = services  # `*`, or no ARN at all
        if touched and _is_foreign(resource, touched, buckets):
            yield f"{', '.join(touched)} on {resource}"


def _guarded_services(statement: Mapping[str, Any]) -> list[str]:
    if "NotAction" in statement:
        return list(GUARDED)
    prefixes = {action.split(":")[0].lower() for action in values(statement, "Action")}
    return [service for service in GUARDED if any(_matches(service, prefix) for prefix in prefixes)]


def _is_foreign(resource: str, services: list[str], buckets: Collection[str]) -> bool:
    if services != ["s3"]:
        return _is_wild(resource)
    return resource.rsplit(":", 1)[-1].partition("/")[0] not in buckets


def _is_wild(text: str) -> bool:
    return "*" in text or "?" in text


def _principals(statement: Mapping[str, Any]) -> list[str]:
    """Return the principals of a statement, without AWS services."""
    if "NotPrincipal" in statement:
        return ["everybody but some"]
    principal = statement.get("Principal", {})
    if not isinstance(principal, Mapping):
        return [str(principal)]
    return [who for kind in principal if kind != "Service" for who in values(principal, kind)]


def _account_of(who: str) -> str:
    return who.split(":")[4] if who.startswith("arn:") and who.count(":") >= 5 else who


def _is_everybody(principal: object) -> bool:
    if isinstance(principal, Mapping):
        return "*" in values(principal, "AWS")
    return principal == "*"


def _matches(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))  # only * and ? are wildcards in a policy


def _only_without_tls(conditions: Mapping[str, Any]) -> bool:
    """Return whether the conditions match exactly the requests without TLS."""
    if set(conditions) not in ({"Bool"}, {"BoolIfExists"}):
        return False
    (tested,) = conditions.values()
    if [key.lower() for key in tested] != ["aws:securetransport"]:
        return False
    return [value.lower() for value in values(tested, next(iter(tested)))] == ["false"]
