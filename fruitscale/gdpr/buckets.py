"""An audited bucket, and the definition of a control on it: request, legal basis, command to inspect by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from fruitscale.gdpr.findings import AuditFinding, AuditVerdict, ControlResult, command
from fruitscale.gdpr.services import Services, UnansweredError, ask
from fruitscale.storage.partitions import partition_of

PHOTOS = frozenset({"input", "list", "output"})
"""Uses of a bucket that holds photos, their names or data derived from them."""
LOGS = frozenset({"logs", "access logs"})
ANY = PHOTOS | LOGS | {"staging"}


@dataclass(frozen=True)
class Bucket:
    """A bucket with its (use, prefix) pairs; `region` is the one the store reports.

    `logs` is the bucket that the config writes logs to, if any.
    """

    name: str
    places: frozenset[tuple[str, str]]
    region: str | None
    services: Services
    logs: str | None = None
    _answers: dict[str, dict[str, Any] | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def uri(self) -> str:
        """The bucket's URI."""
        return f"s3://{self.name}"

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:{partition_of(self.region or self.services.storage.region or '').name}:s3:::{self.name}"

    @property
    def uses(self) -> frozenset[str]:
        """The uses of the bucket."""
        return frozenset(use for use, _ in self.places)

    def prefixes(self, uses: Collection[str]) -> list[str]:
        """Return the key prefixes of these uses."""
        return sorted({prefix for use, prefix in self.places if use in uses})

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  boto3 has no types of its own
        return self.services.s3(self.region)

    def ask(self, operation: str, absent: str = "") -> dict[str, Any] | None:
        """Request one of the bucket's settings; None if it is not set. Raises UnansweredError."""
        if operation not in self._answers:  # several controls read the same setting
            self._answers[operation] = ask(getattr(self._client, operation), absent, Bucket=self.name)
        return self._answers[operation]

    def aws(self, verb: str, **settings: object) -> str:
        """Return the AWS CLI command that changes or shows a setting."""
        words = ["s3api", verb, "--bucket", self.name]
        for name, value in settings.items():
            words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else as_json(value)]
        region = self.region or self.services.storage.region
        return command(*words, *(["--region", region] if region else []))


@dataclass(frozen=True)
class Control:
    """One setting of a bucket; `inspect_verb` of the AWS CLI shows it, `permission` is what the audit needs."""

    setting: str
    articles: tuple[str, ...]
    references: tuple[str, ...]
    permission: str
    inspect_verb: str
    check: Callable[[Bucket], ControlResult]
    uses: frozenset[str] = ANY

    def applies(self, bucket: Bucket) -> bool:
        """Return whether the control is for a bucket with these uses."""
        return bool(bucket.uses & self.uses)

    def find(self, bucket: Bucket) -> AuditFinding:
        """Check one bucket; a failed request gives "could not be checked"."""
        try:
            answer = self.check(bucket)
        except UnansweredError as reason:
            answer = unknown(f"{reason}; {self.permission} is needed", bucket.aws(self.inspect_verb))
        return self._finding(bucket, answer)

    def unreachable(self, bucket: Bucket) -> AuditFinding:
        """Return "could not be checked" for a bucket that does not answer."""
        return self._finding(bucket, unknown("the store does not answer", bucket.aws(self.inspect_verb)))

    def _finding(self, bucket: Bucket, answer: ControlResult) -> AuditFinding:
        return AuditFinding(
            bucket.uri, self.setting, answer.verdict, answer.found, self.articles, self.references, answer.remedy
        )


def passes(found: str) -> ControlResult:
    """Return a pass."""
    return ControlResult(AuditVerdict.PASS, found)


def fails(found: str, remedy: str) -> ControlResult:
    """Return a fail and its remedy."""
    return ControlResult(AuditVerdict.FAIL, found, remedy)


def unknown(found: str, remedy: str = "") -> ControlResult:
    """Return what could not be checked."""
    return ControlResult(AuditVerdict.UNKNOWN, found, remedy)


def as_json(value: object) -> str:
    """Write a setting as the CLI takes it, on one line."""

    def plain(other: object) -> str:
        if isinstance(other, datetime):
            return other.strftime("%Y-%m-%dT%H:%M:%SZ")
        raise TypeError(f"{other!r} is not a setting")

    return json.dumps(value, default=plain)


def rules(answer: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the rules of an answer, or none."""
    return [dict(rule) for rule in (answer or {}).get("Rules", ())]
