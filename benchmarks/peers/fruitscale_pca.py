"""fruitscale's own PCA on an engine: stage 2 of `fruitscale run`, the same function, on features parts that are there.

There is no command that fits without a run. The engine and its workers are started before the clock is, as the others'
are, and as they are in a run, where stage 1 had them.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import matrix
from benchmarks.peers.peer import tell_ratios, told
from benchmarks.peers.worker import process_of
from fruitscale.config.loading import load
from fruitscale.config.schema import Config
from fruitscale.engines import registry
from fruitscale.engines.base import Engine
from fruitscale.pipeline.engine_start import WARM
from fruitscale.pipeline.progress import RunProgress
from fruitscale.pipeline.run import fit_parts
from fruitscale.stages import Job


def main() -> None:
    task = told()
    settings = [f"engine={task.variant}", f"slots={task.slots}", f"pca.components={task.components}"]
    config = load(None, settings).config
    parts = matrix.parts(task.input)
    job = _job(config, str(task.input.parent), parts)
    watch = RunProgress("pca", lambda event: None)
    engine = registry.open_engine(config, task.slots, (WARM,))
    try:
        _wait_for_workers(engine, task.slots)
        fitted = fit_parts(engine, job, config, len(parts), matrix.rows(parts), watch)
    finally:
        engine.close()
    tell_ratios(task, watch.seconds["fit"], fitted.n, fitted.ratio[: fitted.k].tolist())


def _wait_for_workers(engine: Engine, slots: int) -> None:
    processes: set[int] = set()
    while len(processes) < slots:
        processes.update(engine.map(process_of, range(8 * slots)))


def _job(config: Config, run: str, parts: list[Path]) -> Job:
    """Return what stage 2 must know of a run: where its parts are, and how wide."""
    features = matrix.width(parts[0])
    return Job("pca", run, run, config.storage, config.images, "", "", "", "f32", 0, features, matrix.rows(parts[:1]))


if __name__ == "__main__":
    main()
