"""What Python users and the CLI call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fruitscale import config as configuration
from fruitscale import pipeline
from fruitscale.config import Config, Storage
from fruitscale.erasure import Erased, erase, open_run
from fruitscale.errors import FruitscaleError, OutputError, UsageError
from fruitscale.events import Event, Observer
from fruitscale.record import RunRecord
from fruitscale.report import publication
from fruitscale.storage.journal import check_finished
from fruitscale.storage.run_folder import RECORD, REPORT, RunFolder
from fruitscale.storage.store import open_store

__all__ = ["Erased", "erase", "record", "report", "run"]


def run(config: str | Path | Mapping[str, Any] | Config, observer: Observer = lambda event: None) -> RunRecord:
    """Make, resume or verify the run that a config describes, and return its record; then make its page.

    `config` is the path of a YAML file, a mapping, or a Config; `observer` is told where the run is. Raises a
    FruitscaleError whatever goes wrong; what was finished by then is kept, and the same call resumes.
    """
    if not isinstance(config, Config):
        config = (
            configuration.from_mapping(config) if isinstance(config, Mapping) else configuration.load(config).config
        )
    if config.cluster is not None:
        raise UsageError(
            "This config runs on a cluster (cluster: is set), which fruitscale.run doesn't start.",
            "Set cluster: null to run here.",
        )
    made = pipeline.run(config, observer)
    if config.report:
        _make_page(config, observer)
    return made


def record(uri: str, storage: Storage | None = None) -> RunRecord:
    """Return the record of a complete run; `storage` says how to reach one on S3.

    Raises InputError or OutputError when there is none, ResidencyError when its bucket is not where it should be.
    """
    folder = open_run(uri, storage)
    check_finished(folder.store)
    found = folder.read_record()
    if found is None:
        unfinished = folder.read_plan() is not None
        problem = f"holds a run that is not complete: there is no {RECORD}" if unfinished else f"has no {RECORD}"
        hint = "Run the same command again: it resumes." if unfinished else "Give the --output of a run."
        raise OutputError(f"{uri} {problem}.", hint)
    return found


def report(uri: str, storage: Storage | None = None) -> str:
    """Make `report.html` of a complete run, and return where it is; `storage` says how to reach run and photos on S3.

    Raises InputError or OutputError when there is no complete run, MissingExtraError without Bokeh.
    """
    folder = open_run(uri, storage)
    publication.publish(folder, storage or Storage())
    return f"{folder.store.uri.rstrip('/')}/{REPORT}"


def _make_page(config: Config, observer: Observer) -> None:
    """Make the page of a run that has none. A run that is complete doesn't fail for it: the observer is warned."""
    try:
        config, _ = pipeline.where_it_is(config)
        folder = RunFolder(open_store(config.output.uri, config.storage))
        if folder.store.exists(REPORT):
            return
        observer(Event("report"))
        publication.publish(folder, config.storage)
        observer(Event("report", 1, 1))
    except Exception as error:  # noqa: BLE001  whatever it is, the run is there
        observer(Event("report", warning=f"{REPORT} was not made: {_why(error)}"))


def _why(error: Exception) -> str:
    if isinstance(error, FruitscaleError):
        return " ".join(filter(None, [error.message, error.hint]))
    return f"{type(error).__name__}: {error}"
