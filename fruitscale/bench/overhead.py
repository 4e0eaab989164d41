"""What an engine costs a task: tasks that do nothing."""

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
    """Milliseconds a task, the median of some maps of `tasks` null tasks; with `failure`, why there are none."""

    engine: EngineName
    slots: int
    tasks: int
    ms_per_task: float | None
    start_seconds: float | None
    failure: str = ""


def null(task: int, shared: SharedValue | None) -> int:
    """Do nothing, in a worker."""
    return task


def measure_overhead(
    config: Config,
    engines: Sequence[EngineName],
    tasks: Sequence[int] = TASKS,
    repeats: int = 3,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Overhead]:
    """Start each engine in turn, and time maps of null tasks on it; an engine that can't start is a result."""
    found: list[Overhead] = []
    for name in engines:
        found += _of_engine(config.model_copy(update={"engine": name}), name, tasks, repeats)
        tell(f"{name}: {found[-1].failure or 'done'}")
    return found


def _of_engine(config: Config, name: EngineName, tasks: Sequence[int], repeats: int) -> list[Overhead]:
    slots, start = registry.slots(config), time.perf_counter()
    try:
        engine = registry.open_engine(config, slots)
    except FruitscaleError as error:
        return [Overhead(name, slots, n, None, None, error.message) for n in tasks]
    try:
        _map(engine, 4 * slots)  # the workers' first tasks are their start
        started = time.perf_counter() - start
        return [Overhead(name, slots, n, _milliseconds(engine, n, repeats), started) for n in tasks]
    finally:
        engine.close()


def _milliseconds(engine: Engine, tasks: int, repeats: int) -> float:
    return statistics.median(_map(engine, tasks) for _ in range(repeats)) / tasks * 1000


def _map(engine: Engine, tasks: int) -> float:
    start = time.perf_counter()
    done = sum(1 for _ in engine.map(null, range(tasks)))
    assert done == tasks
    return time.perf_counter() - start
