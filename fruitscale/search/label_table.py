"""Writes labelled photos as CSV, for people and spreadsheets."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path
from typing import Any

from fruitscale.errors import OutputError, StorageError, UsageError
from fruitscale.runs.export import FORMULA_STARTS
from fruitscale.search.labelled_photos import Classification
from fruitscale.storage.removal import check_replaceable
from fruitscale.uris import is_s3, local_path

HEADINGS = ("path", "label", "unknown", "voted", "share", "distance", "limit", "nearest")


def write_labels(found: Classification, output: str | Path, *, overwrite: bool = False) -> None:
    """Write one row per photo; texts that a spreadsheet would run as a formula begin with an apostrophe.

    Raises OutputError if the file exists, StorageError if it can't be written.
    """
    target = check_target(output, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            made = Path(folder) / "made"
            with made.open("w", encoding="utf-8", newline="") as file:
                _write(csv.writer(file, lineterminator="\n"), found)
            made.replace(target)
    except OSError as error:
        raise StorageError(f"{target} can't be written: {error.strerror}.", "Choose another --output.") from None


def check_target(output: str | Path, *, overwrite: bool) -> Path:
    """Return the file to write. Raises OutputError or UsageError if it may not be written."""
    if is_s3(str(output)):
        raise UsageError(f"{output}: labels are written to this machine's disk.", "Copy them from there.")
    target = local_path(str(output))
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} exists already.", "Choose another --output, or replace it with --overwrite.")
    check_replaceable(target)
    return target


def _write(writer: Any, found: Classification) -> None:  # noqa: ANN401  the csv module names no type
    writer.writerow(HEADINGS)
    for photo in found.photos:
        unknown, numbers = photo.label is None, (photo.share, photo.distance, photo.limit)
        texts = (_defused(photo.path), _defused(photo.label or ""), int(unknown), _defused(photo.voted))
        writer.writerow([*texts, *(f"{number:.6g}" for number in numbers), _defused(photo.nearest)])


def _defused(text: str) -> str:
    return f"'{text}" if text[:1] in FORMULA_STARTS else text
