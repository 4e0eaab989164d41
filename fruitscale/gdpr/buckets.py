"""A bucket as an audit sees it, and what one control is: what it asks, what it stands on, how to look by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from fruitscale.gdpr.findings import AuditFinding, AuditVerdict, ControlResult, command
from fruitscale.gdpr.services import Services, UnansweredError, ask

PHOTOS = frozenset({"input", "list", "output"})
"""Uses of a bucket that has photos, their names, or what was made of them."""
LOGS = frozenset({"logs", "access logs"})
ANY = PHOTOS | LOGS | {"staging"}


@dataclass(frozen=True)
class Bucket:
    """A bucket: what the config uses it for, each use with a prefix; `region` is what it says itself.

    `logs` is the bucket where the config has logs written, if it names one.
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
    def uses(self) -> frozenset[str]:
        """What it is used for."""
        return frozenset(use for use, _ in self.places)

    def prefixes(self, uses: Collection[str]) -> list[str]:
        """Return what the keys of these uses begin with."""
        return sorted({prefix for use, prefix in self.places if use in uses})

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  boto3 has no types of its own
        return self.services.s3(self.region)

    def ask(self, operation: str, absent: str = "") -> dict[str, Any] | None:
        """Ask the store for one of the bucket's settings; None when it has none. Raises UnansweredError."""
        if operation not in self._answers:  # several controls look at the same setting
            self._answers[operation] = ask(getattr(self._client, operation), absent, Bucket=self.name)
        return self._answers[operation]

    def aws(self, verb: str, **settings: object) -> str:
        """Write the command that changes a setting, or looks at it."""
        words = ["s3api", verb, "--bucket", self.name]
        for name, value in settings.items():
            words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else as_json(value)]
        region = self.region or self.services.storage.region
        return command(*words, *(["--region", region] if region else []))


@dataclass(frozen=True)
class Control:
    """One setting of a bucket; `look` is the CLI's verb to see it by hand, `permission` what the audit needs for it."""

    setting: str
    articles: tuple[str, ...]
    references: tuple[str, ...]
    permission: str
    look: str
    check: Callable[[Bucket], ControlResult]
    uses: frozenset[str] = ANY

    def applies(self, bucket: Bucket) -> bool:
        """Tell whether a bucket of such uses should be so."""
        return bool(bucket.uses & self.uses)

    def find(self, bucket: Bucket) -> AuditFinding:
        """Look at one bucket; no answer is an answer."""
        try:
            answer = self.check(bucket)
        except UnansweredError as reason:
            answer = unknown(f"{reason}; {self.permission} is needed", bucket.aws(self.look))
        return self._finding(bucket, answer)

    def unasked(self, bucket: Bucket) -> AuditFinding:
        """Say that it could not be checked, of a bucket that doesn't answer at all."""
        return self._finding(bucket, unknown("the store gives no answer", bucket.aws(self.look)))

    def _finding(self, bucket: Bucket, answer: ControlResult) -> AuditFinding:
        return AuditFinding(
            bucket.uri, self.setting, answer.verdict, answer.found, self.articles, self.references, answer.remedy
        )


def passes(found: str) -> ControlResult:
    """Return a pass."""
    return ControlResult(AuditVerdict.PASS, found)


def fails(found: str, remedy: str) -> ControlResult:
    """Return a fail, and the remedy."""
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
