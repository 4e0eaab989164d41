"""How much memory executors and EMR Serverless's workers have."""

from __future__ import annotations

from fruitscale.config.cluster_section import Emr, EmrServerless

OVERHEAD_MB = 384
"""Spark's own minimum of memory outside an executor's heap."""
SERVERLESS_GB = {1: (2, 8, 1), 2: (4, 16, 1), 4: (8, 30, 1), 8: (16, 60, 4), 16: (32, 120, 8)}
"""EMR Serverless's worker sizes: smallest and largest memory, and its step, in GB, by vCPUs."""


def overhead_mb(cluster: Emr | EmrServerless) -> int:
    """Return an executor's memory outside its heap; on EMR Serverless, all that its worker has."""
    if isinstance(cluster, Emr):
        return _needed_mb(cluster)
    return worker_gb(cluster) * 1024 - cluster.executor_memory_mb


def executor_mb(cluster: Emr | EmrServerless) -> int:
    """Return the memory of an executor: its heap, and what is outside of it."""
    return cluster.executor_memory_mb + overhead_mb(cluster)


def worker_gb(cluster: EmrServerless) -> int:
    """Return the memory of an EMR Serverless worker: the smallest size on offer that holds what it needs, in GB."""
    smallest, _, step = SERVERLESS_GB[cluster.executor_cores]
    needed = -(-(cluster.executor_memory_mb + _needed_mb(cluster)) // 1024)
    return max(smallest, -(-needed // step) * step)


def largest_gb(cores: int) -> int:
    """Return the largest memory of an EMR Serverless worker with this many vCPUs, in GB."""
    return SERVERLESS_GB[cores][1]


def _needed_mb(cluster: Emr | EmrServerless) -> int:
    """Return the memory that Spark and the Python workers need outside the heap."""
    return OVERHEAD_MB + cluster.executor_cores * cluster.python_mb
