"""What an audit finds: one verdict a setting, what it stands on, and the command that fixes it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class AuditVerdict(StrEnum):
    """How a setting is; what could not be checked never counts as a pass."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    UNKNOWN = "could not be checked"


@dataclass(frozen=True)
class ControlResult:
    """What one control says of one thing; `remedy` is a command of the AWS CLI, or a flag of ours."""

    verdict: AuditVerdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class AuditFinding:
    """A verdict on one setting of one subject: a bucket, a role, the config or the cluster.

    `articles` are the GDPR's, `references` controls of AWS Security Hub that look at the same thing.
    """

    subject: str
    setting: str
    verdict: AuditVerdict
    found: str
    articles: tuple[str, ...]
    references: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def basis(self) -> str:
        """The articles and references as one text."""
        told = [f"GDPR art. {', '.join(self.articles)}"] if self.articles else []
        return "; ".join([*told, *(f"Security Hub {name}" for name in self.references)])


@dataclass(frozen=True)
class AuditedPlace:
    """A bucket or folder that the config names: what it is used for, its region if that is known, and its tags."""

    uri: str
    uses: tuple[str, ...]
    region: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """All findings on one config; `made` is the time (UTC), `enforced` whether a cluster run heeds them."""

    made: str
    version: str
    enforced: bool
    places: tuple[AuditedPlace, ...]
    findings: tuple[AuditFinding, ...]

    @property
    def failed(self) -> bool:
        """Whether anything fails: then a cluster run is refused, unless `gdpr.enforce` is false."""
        return bool(self.of(AuditVerdict.FAIL))

    @property
    def unchecked(self) -> bool:
        """Whether anything could not be checked: that is no pass."""
        return bool(self.of(AuditVerdict.UNKNOWN))

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each verdict."""
        counted = Counter(finding.verdict for finding in self.findings)
        return {verdict.value: counted[verdict] for verdict in AuditVerdict}

    def of(self, verdict: AuditVerdict) -> tuple[AuditFinding, ...]:
        """Return the findings with a verdict."""
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {"schema": 1, "failed": self.failed, "counts": self.counts, **asdict(self)}


def command(*words: str) -> str:
    """Write a command so that a shell reads it as it is meant."""
    return shlex.join(("aws", *words))
