"""The public functions: what Python users and the CLI call."""

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
from fruitscale.inspection.limits import InspectionLimits
from fruitscale.inspection.run_inspection import Finding, Inspection, inspect
from fruitscale.pipeline.run import run as run_pipeline
from fruitscale.report import publication
from fruitscale.runs.export import ExportResult
from fruitscale.runs.export import write as export
from fruitscale.runs.fitted_pca import applied_config
from fruitscale.runs.reader import open_complete, open_run
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import REPORT, RunFolder
from fruitscale.runs.tables import read
from fruitscale.search.labelled_photos import Classification, classify
from fruitscale.search.photo_copies import PhotoCopies, copies_of
from fruitscale.search.similar_photos import similar
from fruitscale.search.similar_result import SimilarPhotos
from fruitscale.storage.residency import StorageAccess

__all__ = [
    "Classification", "Drift", "EraseResult", "Evaluation", "ExportResult", "Finding", "Inspection", "InspectionLimits",
    "PhotoCopies", "SimilarPhotos", "apply", "classify", "copies_of", "drift", "erase", "evaluate", "export", "inspect", "read",
    "record", "report", "run", "similar",
]  # fmt: skip


def run(
    config: Given | None = None,
    observer: Observer | None = None,
    *,
    input: str | None = None,  # noqa: A002  the config's own words
    output: str | None = None,
    engine: str | None = None,
) -> RunRecord:
    """Run, resume or verify what a config describes, write the page, and return the run's record.

    `config` is the path of a YAML file, a mapping, or a Config. `input` (the photos), `output` (the run folder) and `engine`
    override it, or are enough without it. `observer` is called with each progress Event; without one, a notebook shows the
    progress. Raises a FruitscaleError whatever goes wrong; finished parts are kept, and the same call resumes.
    """
    given = as_config(config, flags={"input.uri": input, "output.uri": output, "engine": engine})
    return run_config(given, StorageAccess(given.storage), observer)


def run_config(config: Config, access: StorageAccess, observer: Observer | None = None) -> RunRecord:
    """Do what `run` does, with stores that were opened before: `access` remembers which buckets it has checked."""
    if config.cluster is not None:
        raise UsageError(
            "This config has a cluster section, and fruitscale.run starts no clusters.",
            "Set cluster: null to run here.",
        )
    with notebook_observer(observer) as watching:
        made = run_pipeline(config, watching, access)
        if config.report:
            _make_page(config, access, watching, made.seconds.model_dump(exclude={"total"}))
    return made


def apply(pca: str, config: Given, new_since: Sequence[str] = (), observer: Observer | None = None) -> RunRecord:
    """Apply the model and the PCA of an earlier run to new photos; nothing is fitted.

    `pca` is that run's folder; `config` is as for `run`. Model settings that it leaves out are taken from that run (a Config
    leaves nothing out). With `new_since`, only photos that none of those runs has are processed; if there are none, the run
    is empty and complete. Raises ModelError if the model differs, UsageError if `config` sets another pca.components, and
    what `run` raises.
    """
    access = StorageAccess(as_config(config).storage)
    flags = {"input.new_since": list(new_since) or None}
    return run_config(applied_config(pca, config, access, flags=flags).config, access, observer)


def record(uri: str, storage: Storage | None = None) -> RunRecord:
    """Return the record of a complete run; `storage` has the settings for S3.

    Raises InputError or OutputError if there is none, ResidencyError if its bucket is outside the allowed regions.
    """
    return open_complete(uri, StorageAccess(storage)).record


def report(uri: str, storage: Storage | None = None) -> str:
    """Write `report.html` of a complete run and return its URI; `storage` has the settings for S3.

    Raises InputError or OutputError if there is no complete run, MissingExtraError without Bokeh.
    """
    access = StorageAccess(storage)
    folder = open_run(uri, access)
    publication.publish(folder, access)
    return f"{folder.store.uri.rstrip('/')}/{REPORT}"


def _make_page(config: Config, access: StorageAccess, observer: Observer, seconds: dict[str, float]) -> None:
    """Write the page of a run that has none. A complete run does not fail if that fails: the observer gets a warning."""
    try:
        folder = RunFolder(access.open(config.output.uri))
        if folder.has_page():
            return
        began = time.perf_counter()
        observer(Event("report", seconds=seconds))
        publication.publish(folder, access)
        observer(Event("report", 1, 1, seconds={**seconds, "report": time.perf_counter() - began}))
    except Exception as error:  # noqa: BLE001  whatever it is, the run is complete
        observer(Event("report", seconds=seconds, warning=f"{REPORT} was not made: {_reason(error)}"))


def _reason(error: Exception) -> str:
    if isinstance(error, FruitscaleError):
        return " ".join(filter(None, [error.message, error.hint]))
    return f"{type(error).__name__}: {error}"
