"""The memory of executors and of EMR Serverless workers."""

from __future__ import annotations

from fruitscale.config.cluster_section import Emr, EmrServerless

OVERHEAD_MB = 384
"""Spark's own minimum of memory outside an executor's heap."""
SMALLEST_MB = 2048


def overhead_mb(cluster: Emr | EmrServerless) -> int:
    """Return an executor's memory outside its heap; EMR Serverless requires at least 2 GB per vCPU in all."""
    needed = OVERHEAD_MB + cluster.executor_cores * cluster.python_mb
    if isinstance(cluster, Emr):
        return needed
    return max(needed, cluster.executor_cores * SMALLEST_MB - cluster.executor_memory_mb)


def worker_gb(cluster: EmrServerless) -> int:
    """Return the memory of an EMR Serverless worker, in whole GB."""
    return -(-(cluster.executor_memory_mb + overhead_mb(cluster)) // 1024)
