"""The contestants: other tools, and fruitscale on each of its engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

JobName: TypeAlias = Literal["featurize", "pca"]


@dataclass(frozen=True)
class Contestant:
    """One tool that does a job.

    `module` is run with `variant`; None is `fruitscale run` on the engine `variant`. An `exact` PCA must agree with the
    reference; for an approximation the deviation is only reported. With `processes` the tool has one process or thread
    per slot; otherwise its BLAS gets one thread per slot.
    """

    name: str
    job: JobName
    module: str | None
    variant: str = ""
    ours: bool = False
    exact: bool = True
    processes: bool = True


PEERS = (
    Contestant("notebook", "featurize", "notebook"),
    Contestant("predict_batch_udf", "featurize", "predict_batch_udf"),
    Contestant("ray_data_keras", "featurize", "ray_data", "keras"),
    Contestant("ray_data_openvino", "featurize", "ray_data", "openvino"),
    Contestant("daft_keras", "featurize", "daft_udf", "keras"),
    Contestant("daft_openvino", "featurize", "daft_udf", "openvino"),
    Contestant("mllib", "pca", "mllib"),
    Contestant("mllib_cached", "pca", "mllib", "cached"),
    Contestant("dask_tsqr", "pca", "dask_pca", "tsqr"),
    Contestant("dask_ml", "pca", "dask_pca", "dask_ml"),
    Contestant("sklearn_pca", "pca", "sklearn_pca", "auto", exact=False, processes=False),
    Contestant("sklearn_pca_eigh", "pca", "sklearn_pca", "covariance_eigh", processes=False),
    Contestant("sklearn_incremental", "pca", "sklearn_pca", "incremental", exact=False, processes=False),
)


def ours(engines: Sequence[str]) -> tuple[Contestant, ...]:
    """Return fruitscale's contestants on these engines, for both jobs."""
    runs = (Contestant(f"fruitscale_{engine}", "featurize", None, engine, ours=True) for engine in engines)
    fits = (Contestant(f"fruitscale_{engine}_pca", "pca", "fruitscale_pca", engine, ours=True) for engine in engines)
    return (*runs, *fits)
