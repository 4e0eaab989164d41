"""Daft's batch inference, as its guide shows it: download, decode and resize by Daft, and a class UDF in processes.

https://docs.daft.ai/en/stable/custom-code/cls/ and https://docs.daft.ai/en/stable/modalities/images/
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import daft
import numpy as np
import pyarrow.dataset
from daft import DataType, col

from benchmarks.peers.networks import BATCH, FEATURES, SIZE, load
from benchmarks.peers.peer import tell_features, told


class Featurizer:
    """One instance a process: it loads the network once."""

    def __init__(self, runtime: str, folder: str) -> None:
        self.network = load(runtime, Path(folder))

    @daft.method.batch(return_dtype=DataType.embedding(DataType.float32(), FEATURES), batch_size=BATCH)  # type: ignore[untyped-decorator]
    def featurize(self, images: Any) -> Any:
        return list(self.network(np.stack(images.to_pylist())))


def main() -> None:
    task = told()
    featurizer = daft.cls(Featurizer, max_concurrency=task.slots, use_process=True)(task.variant, str(task.model))
    photos = daft.from_glob_path(f"{task.input}/**/*.jpg")
    images = photos.with_column("image", col("path").download().decode_image(mode="RGB").resize(SIZE, SIZE))
    features = images.select(col("path"), featurizer.featurize(col("image")).alias("features"))
    start = time.perf_counter()
    features.write_parquet(str(task.output / "features"))
    seconds = time.perf_counter() - start
    tell_features(task, seconds, pyarrow.dataset.dataset(task.output / "features").count_rows())


if __name__ == "__main__":
    main()
