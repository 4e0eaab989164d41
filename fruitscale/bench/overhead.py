"""Measure an engine's overhead per task with tasks that do nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fruitscale.config.schema import Config, EngineName
from fruitscale.engines import registry
from fruitscale.engines.base import Engine, SharedValue
from fruitscale.errors import FruitscaleError

TASKS = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Overhead:
    """Milliseconds per task, the median over maps of `tasks` empty tasks; or the `failure` that prevented them."""

    engine: EngineName
    slots: int
    tasks: int
    ms_per_task: float | None
    start_seconds: float | None
    failure: str = ""


def empty_task(task: int, shared: SharedValue | None) -> int:
    """Return at once (runs in a worker)."""
    return task


def measure_overhead(
    config: Config,
    engines: Sequence[EngineName],
    tasks: Sequence[int] = TASKS,
    repeats: int = 3,
    log: Callable[[str], None] = lambda line: None,
) -> list[Overhead]:
    """Start each engine in turn and time maps of empty tasks; an engine that can't start is returned as a failure."""
    found: list[Overhead] = []
    for name in engines:
        found += _of_engine(config.model_copy(update={"engine": name}), name, tasks, repeats)
        log(f"{name}: {found[-1].failure or 'done'}")
    return found


def _of_engine(config: Config, name: EngineName, tasks: Sequence[int], repeats: int) -> list[Overhead]:
    slots, start = registry.slots(config), time.perf_counter()
    try:
        engine = registry.open_engine(config, slots)
    except FruitscaleError as error:
        return [Overhead(name, slots, n, None, None, error.message) for n in tasks]
    try:
        _map(engine, 4 * slots)  # workers start with their first tasks
        started = time.perf_counter() - start
        return [Overhead(name, slots, n, _milliseconds(engine, n, repeats), started) for n in tasks]
    finally:
        engine.close()


def _milliseconds(engine: Engine, tasks: int, repeats: int) -> float:
    return statistics.median(_map(engine, tasks) for _ in range(repeats)) / tasks * 1000


def _map(engine: Engine, tasks: int) -> float:
    start = time.perf_counter()
    done = sum(1 for _ in engine.map(empty_task, range(tasks)))
    assert done == tasks
    return time.perf_counter() - start
