"""Writes an inspection into a folder: a page, JSON, and for each kind two CSVs: its photos, and the run without them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from fruitscale.config.schema import Storage
from fruitscale.errors import StorageError, UsageError
from fruitscale.inspection.action_lines import RELABELLED
from fruitscale.inspection.inspection_page import make_inspection_page
from fruitscale.inspection.run_inspection import KINDS, Finding, Inspection
from fruitscale.report import html_page
from fruitscale.runs import manifest
from fruitscale.runs.reader import open_complete
from fruitscale.storage.residency import StorageAccess

PAGE, JSON = "inspect.html", "inspect.json"
COLUMNS = ("path", "label", "kind", "value", "words", "of", "voted")


def check_folder(folder: Path) -> None:
    """Raise UsageError if findings can't be written there, MissingExtraError if the page can't be made."""
    if folder.parts[:1] == ("s3:",):
        raise UsageError("The findings are written to this machine only.", "Give a folder as --output, not s3://.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file.", "Give a folder as --output.")
    html_page.check_installed()


def write_findings(found: Inspection, folder: Path, storage: Storage | None = None) -> list[Path]:
    """Write the files and return their paths, the page first. Raises StorageError if the folder can't be written."""
    access = StorageAccess(storage)
    contents = {PAGE: make_inspection_page(found, access, folder), JSON: json.dumps(asdict(found), indent=2).encode()}
    photos = manifest.read(open_complete(found.run, access).store).select(["path", "label"]).to_pylist()
    rows = [(photo["path"], photo["label"]) for photo in photos]
    for kind in KINDS:
        if findings := found.of_kind(kind):
            contents[f"{kind}.csv"] = as_csv(COLUMNS, (_cells(finding) for finding in findings))
            contents[f"without-{kind}.csv"] = _list_of(_rest(rows, findings))
    if voted := {finding.path: finding.voted for finding in found.of_kind("suspect_label")}:
        contents[RELABELLED] = _list_of([(path, voted.get(path, label)) for path, label in rows])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in {RELABELLED, *(f"{of}{kind}.csv" for kind in KINDS for of in ("", "without-"))} - set(contents):
            (folder / stale).unlink(missing_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise StorageError(f"{folder} can't be written: {error.strerror}.", "Choose another --output.") from None
    return [folder / name for name in contents]


def _cells(finding: Finding) -> Iterable[object]:
    return ("" if (value := getattr(finding, name)) is None else value for name in COLUMNS)


def _rest(rows: Sequence[tuple[str, str | None]], findings: Sequence[Finding]) -> list[tuple[str, str | None]]:
    flagged = {finding.path for finding in findings}
    return [row for row in rows if row[0] not in flagged]


def _list_of(rows: Sequence[tuple[str, str | None]]) -> bytes:
    """Return a CSV for `input.list`; without labels if no photo has one."""
    if any(label is not None for _, label in rows):
        return as_csv(("path", "label"), rows)
    return as_csv(("path",), ((path,) for path, _ in rows))


def as_csv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Return a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
