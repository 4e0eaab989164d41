"""PCA of a Dask array: `da.linalg.svd` (a tall-and-skinny QR) of the centred matrix, or dask-ml's `PCA`.

https://docs.dask.org/en/stable/generated/dask.array.linalg.svd.html and
https://ml.dask.org/modules/generated/dask_ml.decomposition.PCA.html
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import pyarrow.parquet as pq

from benchmarks.peers import pca_input
from benchmarks.peers.peer import PeerTask, parse_task, report_ratios


def main() -> None:
    task = parse_task()
    methods = {"tsqr": tsqr, "dask_ml": dask_ml}
    with dask.config.set(scheduler="threads", num_workers=task.slots):
        start = time.perf_counter()
        features = load(task.input, task.slots)
        ratios = methods[task.variant](features, task)
        seconds = time.perf_counter() - start
    report_ratios(task, seconds, features.shape[0], ratios)


def load(folder: Path, slots: int) -> Any:
    """Return the features as an array with one tall chunk per slot; with more chunks, QR takes longer."""
    blocks = [block(part) for part in pca_input.parts(folder)]
    features = da.concatenate(blocks)
    return features.rechunk((-(-features.shape[0] // slots), features.shape[1]))


def block(part: Path) -> Any:
    shape = (pq.read_metadata(part).num_rows, pca_input.width(part))
    return da.from_delayed(dask.delayed(pca_input.read)(part), shape, float)


def tsqr(features: Any, task: PeerTask) -> list[float]:
    _, singular, directions = da.linalg.svd(features - features.mean(axis=0))
    singular, _ = dask.compute(singular, directions[: task.components])
    variance = singular**2
    return list(variance[: task.components] / variance.sum())


def dask_ml(features: Any, task: PeerTask) -> list[float]:
    from dask_ml.decomposition import PCA

    fitted = PCA(n_components=task.components, svd_solver="tsqr").fit(features)
    return list(fitted.explained_variance_ratio_)


if __name__ == "__main__":
    main()
