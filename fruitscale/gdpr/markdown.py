"""An audit as Markdown: an annex to the records of processing activities (GDPR, article 30)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fruitscale.gdpr.findings import Audit, AuditedPlace, AuditFinding, AuditVerdict

MARKS = {AuditVerdict.PASS: "pass", AuditVerdict.FAIL: "**FAIL**", AuditVerdict.UNKNOWN: "*could not be checked*"}
NOTES = (
    "*Could not be checked* is not a pass: the setting could not be read, or needs human judgement.",
    "The articles are those of Regulation (EU) 2016/679 (GDPR) that a setting serves. The Security Hub names are "
    "references to AWS's controls on the same setting; fruitscale is not Security Hub, and is stricter on some of them.",
    "This table is neither legal advice nor proof of compliance: it records technical settings at the time given.",
    "The controller adds whose photos these are, the purpose and legal basis of processing, the recipients, and the "
    "retention period (article 30(1)(a) to (f)).",
)
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$&])")


def markdown(audit: Audit) -> str:
    """Return the annex; names of buckets, tags and policies are escaped, so they can't change its structure."""
    return "\n".join(_lines(audit)) + "\n"


def escape(text: str) -> str:
    """Escape a text so that Markdown, HTML and tables show it literally, on one line."""
    flat = "".join(char if char.isprintable() else " " for char in text)
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[1], f"\\{found[1]}"), flat)


_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"}
"""A backslash is not enough for these: HTML and some renderers' tables ignore it."""


def _lines(audit: Audit) -> Iterator[str]:
    counts = audit.counts
    yield "# Technical and organisational measures"
    yield ""
    yield "Annex to the record of processing activities (GDPR, article 30(1)(g) and 30(2)(d)), for a run of fruitscale."
    yield ""
    yield from table(("", ""), _facts(audit, counts))
    yield from _section("Where the data are", ("Place", "Used for", "Region", "Tags"), map(_place, audit.places))
    for subject in dict.fromkeys(finding.subject for finding in audit.findings):
        rows = [_row(finding) for finding in audit.findings if finding.subject == subject]
        yield from _section(escape(subject), ("Setting", "Verdict", "Found", "Basis"), rows)
    yield from _remedies(audit)
    yield from ("## Notes", "")
    yield from (f"- {note}" for note in NOTES)


def _facts(audit: Audit, counts: dict[str, int]) -> Iterator[tuple[str, ...]]:
    yield "Checked at", escape(audit.made)
    yield "By", escape(f"fruitscale {audit.version}, fruitscale gdpr audit")
    yield "Result", "**fails**" if audit.failed else "nothing fails"
    yield "Settings", ", ".join(f"{n} {'failed' if verdict == 'fail' else verdict}" for verdict, n in counts.items())
    enforced = "a cluster run is refused while anything fails"
    yield "Enforced", enforced if audit.enforced else "**no**: gdpr.enforce is false, so a cluster run is not refused"


def _place(place: AuditedPlace) -> tuple[str, ...]:
    tags = ", ".join(f"{key}={value}" for key, value in sorted(place.tags.items()))
    return escape(place.uri), escape(", ".join(place.uses)), escape(place.region or "unknown"), escape(tags or "none")


def _row(finding: AuditFinding) -> tuple[str, ...]:
    return escape(finding.setting), MARKS[finding.verdict], escape(finding.found), escape(finding.basis)


def _section(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield from (f"## {title}", "")
    yield from table(heads, rows)


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table, and an empty one; cells are escaped already."""
    for cells in (heads, ("---",) * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def _remedies(audit: Audit) -> Iterator[str]:
    findings = [each for each in audit.findings if each.verdict is not AuditVerdict.PASS and each.remedy]
    if not findings:
        return
    yield from ("## Remedies and inspection commands", "")
    yield "Flags that begin with `--set` are fruitscale's; the config file has the same key."
    yield ""
    for finding in findings:
        yield f"**{escape(finding.subject)}, {escape(finding.setting)}** ({finding.verdict}):"
        yield from ("", *fenced(finding.remedy), "")


def fenced(text: str) -> tuple[str, ...]:
    """Fence a command with more backticks than it contains."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh", text.replace("\n", " "), fence
