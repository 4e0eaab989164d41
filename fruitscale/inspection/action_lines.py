"""The lines that act on findings, to copy into a shell."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from fruitscale.inspection.run_inspection import Finding, Inspection

RELABELLED = "relabelled.csv"
"""All photos, suspect labels replaced by those that the neighbours vote for."""
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
    return shlex.join(["--set", f"input.exclude={json.dumps([f.path for f in findings], ensure_ascii=False)}"])


def list_line(found: Inspection, chosen: Path) -> str:
    """Return the command of a run of the photos in a list."""
    chosen_list = f"input.list={chosen}"
    return shlex.join(
        ["fruitscale", "run", "--input", found.input, "--set", chosen_list, "--output", "results/cleaned"]
    )


def actions(found: Inspection, kind: str, folder: Path | None) -> list[str]:
    """Return the lines that act on all findings of a kind."""
    findings = found.of_kind(kind)
    names = [RELABELLED] if kind == "suspect_label" else []
    names.append(f"without-{kind}.csv")
    lines = [list_line(found, folder / name) for name in names] if folder is not None and found.shown else []
    if len(findings) <= MOST_PATHS and found.shown:
        lines.append(erase_line(found.run, findings))
        if (setting := exclude_setting(findings)) is not None:
            lines.append(f"fruitscale run … {setting}")
    return lines
