"""The engines by name, each imported on first use."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import NamedTuple

from fruitscale.config.schema import Config, EngineName
from fruitscale.engines.base import Engine
from fruitscale.errors import MissingExtraError


class EngineSource(NamedTuple):
    """Where an engine is, and what to install for it."""

    module: str
    opener: str
    library: str
    title: str
    extra: str


ENGINES: Mapping[EngineName, EngineSource] = {
    "local": EngineSource("fruitscale.engines.local_engine", "LocalEngine", "", "", ""),
    "spark": EngineSource("fruitscale.engines.spark_engine", "SparkEngine", "pyspark", "PySpark", "spark"),
    "dask": EngineSource("fruitscale.engines.dask_engine", "DaskEngine", "distributed", "Dask", "dask"),
}


def open_engine(config: Config, slots: int, warm: tuple[str, ...] = ()) -> Engine:
    """Start the engine that the config names, with so many tasks at once on this machine.

    `warm` names modules that workers on this machine import while they wait for the first task.
    Raises MissingExtraError when its library is not installed, EngineError when it can't be started.
    """
    entry = ENGINES[config.engine]
    try:
        opener = getattr(importlib.import_module(entry.module), entry.opener)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("pyspark", "py4j", "dask", "distributed"):
            raise MissingExtraError(entry.title, entry.extra) from None
        raise
    engine: Engine = opener(config, slots, warm)
    return engine


def slots(config: Config) -> int:
    """Return how many tasks run at once on one machine: the config's number, or the cores that this process may use."""
    if config.slots != "auto":
        return config.slots
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
