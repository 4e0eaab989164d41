"""Ray Data's batch inference, as in its guide: `read_images`, then `map_batches` of a class over a pool of actors.

https://docs.ray.io/en/latest/data/batch_inference.html and https://docs.ray.io/en/latest/data/working-with-images.html
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import ray
from numpy.typing import NDArray

from benchmarks.peers.networks import BATCH, SIZE, load
from benchmarks.peers.peer import parse_task, report_features


class Featurizer:
    """An actor that loads the network once."""

    def __init__(self, runtime: str, folder: Path) -> None:
        self.network = load(runtime, folder)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"path": batch["path"], "features": self.network(batch["image"].astype(np.uint8, copy=False))}


def main() -> None:
    task = parse_task()
    # Twice the CPUs: each actor holds one permanently, and read and write tasks need some to be scheduled.
    ray.init(num_cpus=2 * task.slots, include_dashboard=False, log_to_driver=False)
    # One batch per block: by default Ray reads 12 photos per task, which is a fifth slower.
    n_blocks = max(2 * task.slots, sum(1 for _ in task.input.rglob("*.jpg")) // BATCH)
    photos = ray.data.read_images(
        str(task.input), size=(SIZE, SIZE), mode="RGB", include_paths=True, override_num_blocks=n_blocks
    )
    features = photos.map_batches(
        Featurizer,
        fn_constructor_args=(task.variant, task.model),
        batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=task.slots),
    )
    start = time.perf_counter()
    features.write_parquet(str(task.output / "features"))
    seconds = time.perf_counter() - start
    rows = pyarrow.dataset.dataset(task.output / "features").count_rows()
    ray.shutdown()
    report_features(task, seconds, rows)


if __name__ == "__main__":
    main()
