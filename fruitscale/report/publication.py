"""Puts the page of a run into its folder, where it is the run's own file: under the lock, and only while it is true."""

from __future__ import annotations

from fruitscale.config.schema import Storage
from fruitscale.errors import OutputError
from fruitscale.report import html_page, run_facts
from fruitscale.report.run_page import make_run_page
from fruitscale.runs.journal import new_id
from fruitscale.runs.run_folder import REPORT, RunFolder
from fruitscale.storage import lock


def publish(folder: RunFolder, storage: Storage) -> None:
    """Make `report.html` of a complete run. `storage` says how to reach the photos, whose thumbnails it has.

    Raises MissingExtraError without Bokeh, OutputError when the run is not complete, damaged or being written; nothing
    is changed then.
    """
    html_page.check_installed()
    found = run_facts.read_run_facts(folder)
    content = make_run_page(found, storage)
    with lock.locked(folder.store, f"report-{new_id()}"):
        if folder.read_record() != found.record:
            raise OutputError(
                f"{folder.store.uri} changed while its page was made.", "Make it again: fruitscale report"
            )
        folder.store.write(REPORT, content)
