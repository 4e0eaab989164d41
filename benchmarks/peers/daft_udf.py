"""Daft's batch inference, as in its guide: download, decode and resize by Daft, and a class UDF.

https://docs.daft.ai/en/stable/custom-code/cls/ and https://docs.daft.ai/en/stable/modalities/images/
"""

from __future__ import annotations

import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import daft
import numpy as np
import pyarrow.dataset
from daft import DataType, col

from benchmarks.peers.networks import BATCH, FEATURES, SIZE, Network, load
from benchmarks.peers.peer import parse_task, report_features


class Featurizer:
    """Keeps a pool of networks: Daft calls one instance from one thread per slot.

    With images or embeddings Daft (0.7.26) uses threads even with `use_process`. If they share one network, one photo
    in 16 gets another photo's features.
    """

    def __init__(self, runtime: str, folder: str) -> None:
        self.runtime, self.folder = runtime, Path(folder)
        self.idle: SimpleQueue[Network] = SimpleQueue()

    @daft.method.batch(return_dtype=DataType.embedding(DataType.float32(), FEATURES), batch_size=BATCH)  # type: ignore[untyped-decorator]
    def featurize(self, images: Any) -> Any:
        try:
            network = self.idle.get_nowait()
        except Empty:
            network = load(self.runtime, self.folder)
        features = list(network(np.stack(images.to_pylist())))
        self.idle.put(network)
        return features


def main() -> None:
    task = parse_task()
    featurizer = daft.cls(Featurizer, max_concurrency=task.slots)(task.variant, str(task.model))
    photos = daft.from_glob_path(f"{task.input}/**/*.jpg")
    images = photos.with_column("image", col("path").download().decode_image(mode="RGB").resize(SIZE, SIZE))
    features = images.select(col("path"), featurizer.featurize(col("image")).alias("features"))
    start = time.perf_counter()
    features.write_parquet(str(task.output / "features"))
    seconds = time.perf_counter() - start
    report_features(task, seconds, pyarrow.dataset.dataset(task.output / "features").count_rows())


if __name__ == "__main__":
    main()
