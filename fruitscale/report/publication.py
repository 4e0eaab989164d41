"""Writes report.html into a run folder, under the run's lock."""

from __future__ import annotations

from fruitscale.errors import OutputError
from fruitscale.report import html_page, run_facts
from fruitscale.report.run_page import make_run_page
from fruitscale.runs.run_folder import REPORT, RunFolder
from fruitscale.runs.run_id import new_id
from fruitscale.runs.writer import writing
from fruitscale.storage.residency import StorageAccess


def publish(folder: RunFolder, access: StorageAccess) -> None:
    """Write `report.html` of a complete run. `access` is for reading the photos shown as thumbnails.

    Raises MissingExtraError without Bokeh, and OutputError if the run is incomplete, damaged or being written; nothing
    is changed in that case.
    """
    html_page.check_installed()
    if folder.store.exists(REPORT) and not folder.has_page():
        raise OutputError(
            f"{folder.store.uri}/{REPORT} is not a page that fruitscale wrote.", "Move it elsewhere, then run again."
        )
    facts = run_facts.read_run_facts(folder)
    content = make_run_page(facts, access)
    with writing(folder.store, f"report-{new_id()}") as store:
        if folder.read_record() != facts.record:
            raise OutputError(
                f"{folder.store.uri} changed while the page was being made.", "Run again: fruitscale report"
            )
        store.write(REPORT, content)
