"""The clusters of fruitscale/bench/clusters.py, as fixtures: their addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fruitscale.bench.local_clusters import LIGHT_JAVA, dask_cluster, spark_cluster

__all__ = ["LIGHT_JAVA", "dask_scheduler", "spark_master"]


@pytest.fixture(scope="module")
def spark_master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with spark_cluster(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster.address


@pytest.fixture(scope="module")
def dask_scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster.address
