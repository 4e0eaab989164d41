"""Results of the GDPR audit: a verdict per setting, its legal basis, and a remedy."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class AuditVerdict(StrEnum):
    """Verdict on a setting; a setting that could not be checked counts as not passed."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    UNKNOWN = "could not be checked"


@dataclass(frozen=True)
class ControlResult:
    """Result of one control; `remedy` is an AWS CLI command or a fruitscale flag."""

    verdict: AuditVerdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class AuditFinding:
    """A verdict on one setting of one subject: a bucket, a role, the config or the cluster.

    `articles` are articles of the GDPR, `references` the AWS Security Hub controls on the same setting.
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
        articles = [f"GDPR art. {', '.join(self.articles)}"] if self.articles else []
        return "; ".join([*articles, *(f"Security Hub {name}" for name in self.references)])


@dataclass(frozen=True)
class AuditedPlace:
    """A bucket or folder named in the config: its uses, its region if known, and its tags."""

    uri: str
    uses: tuple[str, ...]
    region: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """All findings on one config; `made` is the time (UTC); `enforced`: a failure refuses a cluster run."""

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
        """Whether anything could not be checked, which counts as not passed."""
        return bool(self.of(AuditVerdict.UNKNOWN))

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings per verdict."""
        counted = Counter(finding.verdict for finding in self.findings)
        return {verdict.value: counted[verdict] for verdict in AuditVerdict}

    def of(self, verdict: AuditVerdict) -> tuple[AuditFinding, ...]:
        """Return the findings with a verdict."""
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as JSON-serialisable values."""
        return {"schema": 1, "failed": self.failed, "counts": self.counts, **asdict(self)}


def command(*words: str) -> str:
    """Return an AWS CLI command, quoted for the shell."""
    return shlex.join(("aws", *words))
