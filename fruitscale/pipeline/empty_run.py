"""Writes a run without photos: what `apply` leaves in a night that brings none, so that the next night finds a run."""

from __future__ import annotations

import numpy as np

from fruitscale.config.schema import Config
from fruitscale.engines.base import EngineInfo
from fruitscale.kernels.moments import Components
from fruitscale.runs import parts
from fruitscale.runs.parts import Part
from fruitscale.runs.reader import COLUMNS
from fruitscale.runs.replacement import Destination
from fruitscale.runs.run_folder import FEATURES, REDUCED


def write(destination: Destination, width: int, fitted: Components) -> dict[str, str]:
    """Write one part without rows in each place, for readers that need a schema; return the sha256 of each, by name."""
    results = destination.results
    results.write_components(fitted.to_bytes(), fitted.summary())
    results.write_rejects([])
    places = ((FEATURES, destination.features.store, width), (REDUCED, results.store, fitted.k))
    return {
        (name := parts.name(place, 0)): parts.write_vectors(store, name, COLUMNS[place], _no_rows(columns))
        for place, store, columns in places
    }


def no_engine(config: Config) -> EngineInfo:
    """Return the configured engine, which was not started."""
    return EngineInfo(config.engine, "not started", None, cores=0, workers=0, ui=None, machines=0)


def _no_rows(width: int) -> Part:
    return Part([], [], np.empty((0, width), np.float32))
