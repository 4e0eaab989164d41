"""What Python users and the CLI call."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fruitscale.config.loading import Given, as_config
from fruitscale.config.schema import Config, Storage
from fruitscale.display.events import Event, Observer
from fruitscale.display.notebook import notebook_observer
from fruitscale.erasure.photo_erasure import EraseResult, erase
from fruitscale.errors import FruitscaleError, UsageError
from fruitscale.evaluation.drift import Drift, drift
from fruitscale.evaluation.nearest_neighbours import Evaluation, evaluate
from fruitscale.pipeline.run import run as run_pipeline
from fruitscale.pipeline.run import settle_residency
from fruitscale.report import publication
from fruitscale.runs.export import ExportResult
from fruitscale.runs.export import write as export
from fruitscale.runs.fitted_pca import inherited_settings
from fruitscale.runs.reader import open_complete, open_run
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import REPORT, RunFolder
from fruitscale.runs.tables import read
from fruitscale.storage.store import open_store

__all__ = [
    "Drift", "EraseResult", "Evaluation", "ExportResult", "apply", "drift", "erase", "evaluate", "export", "read", "record",
    "report", "run",
]  # fmt: skip


def run(config: Given, observer: Observer | None = None) -> RunRecord:
    """Make, resume or verify the run that a config describes, and return its record; then make its page.

    `config` is the path of a YAML file, a mapping, or a Config; `observer` is told where the run is; without one, a
    notebook shows it. Raises a FruitscaleError whatever goes wrong; what was finished by then is kept, and the same call
    resumes.
    """
    config = as_config(config)
    if config.cluster is not None:
        raise UsageError(
            "This config runs on a cluster (cluster: is set), which fruitscale.run doesn't start.",
            "Set cluster: null to run here.",
        )
    with notebook_observer(observer) as told:
        made = run_pipeline(config, told)
        if config.report:
            _make_page(config, told, made.seconds.model_dump(exclude={"total"}))
    return made


def apply(pca: str, config: Given, new_since: Sequence[str] = (), observer: Observer | None = None) -> RunRecord:
    """Bring new photos into the space of an earlier run: its model and its components, nothing fitted.

    `pca` is that run's folder; `config` says where the new photos are and where they go, as for `run`; a model that it
    doesn't say is that run's (a Config says everything). With `new_since` only photos are taken that none of those runs has.
    Raises ModelError when the model is another, NothingNewError when no photo is new, and what `run` raises.
    """
    if not isinstance(config, Config):
        storage = as_config(config).storage
        config = as_config(config, inherited_settings(pca, storage))
    since = {"input": config.input.model_copy(update={"new_since": tuple(new_since)})} if new_since else {}
    applied = config.model_copy(update={"pca": config.pca.model_copy(update={"run": pca}), **since})
    return run(applied, observer)


def record(uri: str, storage: Storage | None = None) -> RunRecord:
    """Return the record of a complete run; `storage` says how to reach one on S3.

    Raises InputError or OutputError when there is none, ResidencyError when its bucket is not where it should be.
    """
    return open_complete(uri, storage).record


def report(uri: str, storage: Storage | None = None) -> str:
    """Make `report.html` of a complete run, and return where it is; `storage` says how to reach run and photos on S3.

    Raises InputError or OutputError when there is no complete run, MissingExtraError without Bokeh.
    """
    folder = open_run(uri, storage)
    publication.publish(folder, storage or Storage())
    return f"{folder.store.uri.rstrip('/')}/{REPORT}"


def _make_page(config: Config, observer: Observer, seconds: dict[str, float]) -> None:
    """Make the page of a run that has none. A run that is complete doesn't fail for it: the observer is warned."""
    try:
        config, _ = settle_residency(config)
        folder = RunFolder(open_store(config.output.uri, config.storage))
        if folder.store.exists(REPORT):
            return
        began = time.perf_counter()
        observer(Event("report", seconds=seconds))
        publication.publish(folder, config.storage)
        observer(Event("report", 1, 1, seconds={**seconds, "report": time.perf_counter() - began}))
    except Exception as error:  # noqa: BLE001  whatever it is, the run is there
        observer(Event("report", seconds=seconds, warning=f"{REPORT} was not made: {_why(error)}"))


def _why(error: Exception) -> str:
    if isinstance(error, FruitscaleError):
        return " ".join(filter(None, [error.message, error.hint]))
    return f"{type(error).__name__}: {error}"
