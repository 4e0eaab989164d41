"""fruitscale's own PCA on an engine: stage 2 of `fruitscale run`, the same function, on features parts that are there.

There is no command that fits without a run; the engine is started before the clock is, as the others' is.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import matrix
from benchmarks.peers.peer import tell_ratios, told
from fruitscale import pipeline
from fruitscale.config import Config, load
from fruitscale.engines import registry
from fruitscale.stages import Job
from fruitscale.watch import Watch


def main() -> None:
    task = told()
    settings = [f"engine={task.variant}", f"slots={task.slots}", f"pca.components={task.components}"]
    config = load(None, settings).config
    parts = matrix.parts(task.input)
    job = _job(config, str(task.input.parent), parts)
    watch = Watch("pca", lambda event: None)
    engine = registry.open_engine(config, task.slots, pipeline.WARM[:1])
    try:
        fitted = pipeline._fit(engine, job, config, len(parts), matrix.rows(parts), watch)
    finally:
        engine.close()
    tell_ratios(task, watch.seconds["fit"], fitted.n, fitted.ratio[: fitted.k].tolist())


def _job(config: Config, run: str, parts: list[Path]) -> Job:
    """Return what stage 2 must know of a run: where its parts are, and how wide."""
    features = matrix.width(parts[0])
    return Job("pca", run, run, config.storage, config.images, "", "", "", "f32", 0, features, matrix.rows(parts[:1]))


if __name__ == "__main__":
    main()
