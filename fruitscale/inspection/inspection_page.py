"""The page of an inspection: a table of the kinds, and the photos of each with the lines that act on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fruitscale.inspection.action_lines import actions, erase_line
from fruitscale.inspection.run_inspection import KINDS, Finding, Inspection
from fruitscale.report import html_page
from fruitscale.report.thumbnails import thumbnails
from fruitscale.runs.photos import photos_of, settings_of
from fruitscale.runs.reader import open_complete
from fruitscale.storage.residency import StorageAccess

MOST_SHOWN = 60
"""Photos shown of each kind; all are in the CSVs."""
MOST_BYTES = 6_000_000
"""For all thumbnails."""
TITLES = {
    "equal_file": "Equal files", "copy": "Copies", "test_copy": "Copies in the test run", "suspect_label": "Suspect labels",
    "outlier": "Outliers", "blurred": "Blurred", "dark": "Too dark", "light": "Too light", "low_contrast": "Low contrast",
    "nearly_empty": "Nearly empty", "odd_size": "Odd size", "odd_aspect": "Odd shape",
}  # fmt: skip


def make_inspection_page(found: Inspection, access: StorageAccess, folder: Path) -> bytes:
    """Return the page. Raises MissingExtraError without Jinja."""
    shown = {kind: found.of_kind(kind)[:MOST_SHOWN] for kind in KINDS}
    thumbs = _thumbnails(found, [finding for findings in shown.values() for finding in findings], access)
    numbers = {path: number for number, path in enumerate(thumbs)}
    facts = {
        "title": "Photos to look at",
        "found": found,
        "kinds": [
            {
                "kind": kind,
                "title": TITLES[kind],
                "rule": found.rule(kind),
                "count": len(found.of_kind(kind)),
                "shown": [_card(found, finding, numbers) for finding in findings],
                "actions": actions(found, kind, folder),
            }
            for kind, findings in shown.items()
        ],
    }
    return html_page.render("inspect.html", facts, {"looks": [], "thumbs": list(thumbs.values())}, {})


def _card(found: Inspection, finding: Finding, numbers: dict[str, int]) -> dict[str, Any]:
    other = finding.of if finding.kind != "test_copy" else None
    return {
        "finding": finding,
        "thumb": numbers.get(finding.path, -1),
        "other": numbers.get(other, -1) if other is not None else -1,
        "erase": erase_line(found.run, [finding]) if found.shown else None,
    }


def _thumbnails(found: Inspection, findings: list[Finding], access: StorageAccess) -> dict[str, str]:
    """Return a thumbnail by path; none if the run's paths are hashed."""
    if not found.shown:
        return {}
    run = open_complete(found.run, access)
    others = [finding.of for finding in findings if finding.of is not None and finding.kind != "test_copy"]
    paths = list(dict.fromkeys([*(finding.path for finding in findings), *others]))
    photos = list(photos_of(run, paths))
    made = thumbnails(run.record.input.uri, photos, settings_of(run), access, MOST_BYTES)
    return {path: thumb for path, thumb in zip(paths, made, strict=True) if thumb}
