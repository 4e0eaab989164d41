"""One trial: a real run of the sample with one candidate, on the local engine, and what it measured."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Config
from fruitscale.pipeline import run as pipeline
from fruitscale.runs.reader import open_complete
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import FEATURES, REDUCED
from fruitscale.storage.residency import StorageAccess
from fruitscale.tuning.candidates import Candidate

STEPS = ("read", "decode", "infer", "write")
"""What a photo costs in a task; loading the model is left out, as it happens once per worker."""


@dataclass(frozen=True)
class CandidateTrial:
    """What one candidate needs, and its features; rows of `features` and `components` are those of `keys`."""

    candidate: Candidate
    ms_per_photo: float
    """Milliseconds per photo and core, with all slots at work."""
    worker_mb: float
    slots: int
    keys: tuple[tuple[int, str], ...]
    """Number of the input, and path."""
    labels: tuple[str | None, ...]
    features: NDArray[np.float32]
    components: NDArray[np.float32]


def run_trial(configs: Sequence[Config], lists: Sequence[Path], candidate: Candidate, work: Path) -> CandidateTrial:
    """Run a candidate on the listed photos of each config's input; the first one's PCA is applied to the others.

    Raises a FruitscaleError if it can't be run.
    """
    folder = work / "run"
    runs = [folder / str(number) for number in range(len(configs))]
    try:
        records = [
            pipeline.run(_config_of(config, candidate, photo_list, run, runs[0]))
            for config, photo_list, run in zip(configs, lists, runs, strict=True)
        ]
        return _measured(candidate, records, runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _config_of(config: Config, candidate: Candidate, photo_list: Path, run: Path, first: Path) -> Config:
    return config.model_copy(
        update={
            "input": config.input.model_copy(update={"list": str(photo_list), "limit": None, "new_since": ()}),
            "output": config.output.model_copy(update={"uri": str(run), "overwrite": False, "paths": "plain"}),
            "model": candidate.applied_to(config.model),
            "pca": config.pca.model_copy(update={"run": None if run == first else str(first)}),
            "cluster": None,
            "engine": "local",
        }
    )


def _measured(candidate: Candidate, records: Sequence[RunRecord], runs: Sequence[Path]) -> CandidateTrial:
    access = StorageAccess()
    complete = [open_complete(str(run), access) for run in runs]
    parts = {place: [part for run in complete for part in run.parts(place)] for place in (FEATURES, REDUCED)}
    seconds = sum(getattr(record.worker_seconds, step) for record in records for step in STEPS)
    return CandidateTrial(
        candidate,
        1000 * seconds / sum(record.images.featurized for record in records),
        max(record.peak_rss_mb.worker for record in records),
        records[0].engine.cores,
        tuple(
            (number, path) for number, run in enumerate(complete) for part in run.parts(FEATURES) for path in part.paths
        ),
        tuple(label for part in parts[FEATURES] for label in part.labels),
        *(np.concatenate([part.values for part in parts[place]]) for place in (FEATURES, REDUCED)),
    )
