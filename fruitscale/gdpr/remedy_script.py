"""An audit's remedies as a shell script for a person to review; nothing here runs it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from fruitscale.gdpr.findings import Audit, AuditFinding, AuditVerdict

HEADER = """#!/bin/sh
# Remedies and inspection commands of fruitscale gdpr audit, {made}.
# Review every line. Commands for settings that could not be checked, and fruitscale's flags, are commented out.
set -eu
"""


def script(audit: Audit) -> str:
    """Return the script; text from AWS appears only in comments of one line, or quoted within a command."""
    return HEADER.format(made=_flat(audit.made)) + "".join(_lines(audit))


def _lines(audit: Audit) -> Iterator[str]:
    seen: set[str] = set()
    for finding in audit.findings:
        if finding.verdict is AuditVerdict.PASS or not finding.remedy:
            continue
        yield f"\n# {_flat(finding.subject)}, {_flat(finding.setting)}: {finding.verdict}\n"
        remedy = _flat(finding.remedy)
        runs = finding.verdict is AuditVerdict.FAIL and _is_command(finding) and remedy not in seen
        yield f"{remedy}\n" if runs else f"# {remedy}\n"
        seen.add(remedy)


def _is_command(finding: AuditFinding) -> bool:
    """Return whether the remedy is one fully quoted command of AWS's CLI: no placeholder, pipe or second command."""
    try:
        words = shlex.split(finding.remedy)
    except ValueError:  # an open quote
        return False
    return words[:1] == ["aws"] and shlex.join(words) == finding.remedy == _flat(finding.remedy)


def _flat(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
