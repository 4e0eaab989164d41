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
    """The class of an engine, and the extra that it needs."""

    module: str
    opener: str
    title: str
    extra: str


ENGINES: Mapping[EngineName, EngineSource] = {
    "local": EngineSource("fruitscale.engines.local_engine", "LocalEngine", "", ""),
    "spark": EngineSource("fruitscale.engines.spark_engine", "SparkEngine", "PySpark", "spark"),
    "dask": EngineSource("fruitscale.engines.dask_engine", "DaskEngine", "Dask", "dask"),
}


def open_engine(config: Config, slots: int, warm: tuple[str, ...] = ()) -> Engine:
    """Start the configured engine, with `slots` concurrent tasks on this machine.

    `warm` names modules that workers on this machine import while they wait for the first task.
    Raises MissingExtraError if its library is not installed, EngineError if it can't be started.
    """
    source = ENGINES[config.engine]
    try:
        opener = getattr(importlib.import_module(source.module), source.opener)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("pyspark", "py4j", "dask", "distributed"):
            raise MissingExtraError(source.title, source.extra) from None
        raise
    engine: Engine = opener(config, slots, warm)
    return engine


def slots(config: Config) -> int:
    """Return the number of concurrent tasks per machine: the config's, or the cores available to this process."""
    if config.slots != "auto":
        return config.slots
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
