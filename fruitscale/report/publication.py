"""Writes report.html into a run folder, under the run's lock."""

from __future__ import annotations

from fruitscale.config.schema import Storage
from fruitscale.errors import OutputError
from fruitscale.report import html_page, run_facts
from fruitscale.report.run_page import make_run_page
from fruitscale.runs.journal import new_id
from fruitscale.runs.run_folder import REPORT, RunFolder
from fruitscale.storage import lock


def publish(folder: RunFolder, storage: Storage) -> None:
    """Write `report.html` of a complete run. `storage` is for reading the photos shown as thumbnails.

    Raises MissingExtraError without Bokeh, and OutputError if the run is incomplete, damaged or being written; nothing
    is changed in that case.
    """
    html_page.check_installed()
    facts = run_facts.read_run_facts(folder)
    content = make_run_page(facts, storage)
    with lock.locked(folder.store, f"report-{new_id()}"):
        if folder.read_record() != facts.record:
            raise OutputError(
                f"{folder.store.uri} changed while the page was being made.", "Run again: fruitscale report"
            )
        folder.store.write(REPORT, content)
