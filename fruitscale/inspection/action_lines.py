"""The lines that act on findings, to copy into a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from fruitscale.inspection.run_inspection import Finding, Inspection

MOST_PATHS = 20
"""Paths in one line: with more, the CSV does it."""
_GLOB = re.compile(r"[*?\[\]{}!\\,'\"]|^-")


def erase_line(run: str, findings: Sequence[Finding]) -> str:
    """Return the command that erases these photos from the run."""
    paths = (word for finding in findings for word in ("--path", finding.path))
    return shlex.join(["fruitscale", "erase", run, *paths])


def exclude_setting(findings: Sequence[Finding]) -> str | None:
    """Return the setting that leaves these photos out of a run; None if a path can't be written as a glob."""
    if any(_GLOB.search(finding.path) for finding in findings):
        return None
    return shlex.join(["--set", f"input.exclude=[{', '.join(repr(finding.path) for finding in findings)}]"])


def list_line(found: Inspection, kind: str, folder: Path) -> str:
    """Return the command of a run of all photos but these."""
    chosen = f"input.list={folder / f'without-{kind}.csv'}"
    return shlex.join(["fruitscale", "run", "--input", found.input, "--set", chosen, "--output", "results/cleaned"])


def actions(found: Inspection, kind: str, folder: Path | None) -> list[str]:
    """Return the lines that act on all findings of a kind."""
    findings = found.of_kind(kind)
    lines = [list_line(found, kind, folder)] if folder is not None and found.shown else []
    if len(findings) <= MOST_PATHS and found.shown:
        lines.append(erase_line(found.run, findings))
        if (setting := exclude_setting(findings)) is not None:
            lines.append(f"fruitscale run … {setting}")
    return lines
