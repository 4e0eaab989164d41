"""fruitscale's PCA on an engine: the function behind stage 2 of `fruitscale run`, on existing features parts.

No command runs stage 2 alone. The engine and its workers are started before the clock, as for the other tools and as
in a run, where stage 1 has used them.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import pca_input
from benchmarks.peers.peer import parse_task, report_ratios
from benchmarks.peers.worker import process_id
from fruitscale.config.loading import load
from fruitscale.config.schema import Config
from fruitscale.engines import registry
from fruitscale.engines.base import Engine
from fruitscale.kernels.backbone import F32
from fruitscale.pipeline.engine_start import WARM
from fruitscale.pipeline.progress import RunProgress
from fruitscale.pipeline.run import fit_parts
from fruitscale.stages import Job


def main() -> None:
    task = parse_task()
    settings = [f"engine={task.variant}", f"slots={task.slots}", f"pca.components={task.components}"]
    config = load(None, settings).config
    parts = pca_input.parts(task.input)
    job = _job(config, str(task.input.parent), parts)
    watch = RunProgress("pca", lambda event: None)
    engine = registry.open_engine(config, task.slots, (WARM,))
    try:
        _wait_for_workers(engine, task.slots)
        fitted = fit_parts(engine, job, config, len(parts), pca_input.rows(parts), watch)
    finally:
        engine.close()
    report_ratios(task, watch.seconds["fit"], fitted.n, fitted.ratio[: fitted.k].tolist())


def _wait_for_workers(engine: Engine, slots: int) -> None:
    processes: set[int] = set()
    while len(processes) < slots:
        processes.update(engine.map(process_id, range(8 * slots)))


def _job(config: Config, run: str, parts: list[Path]) -> Job:
    """Return a job with what stage 2 needs: the location and width of the parts."""
    features = pca_input.width(parts[0])
    return Job("pca", run, run, config.storage, config.images, "", "", "", F32, 0, features, pca_input.rows(parts[:1]))


if __name__ == "__main__":
    main()
