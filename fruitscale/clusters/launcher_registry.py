"""Maps each cluster kind to its launcher."""

from __future__ import annotations

from fruitscale.clusters.launch import Launch
from fruitscale.clusters.launcher import Launcher


def launcher_of(launch: Launch) -> Launcher:
    """Return the launcher for a launch's kind of cluster."""
    match launch.cluster.kind:
        case "emr":
            from fruitscale.clusters.emr import EmrLauncher

            return EmrLauncher(launch)
        case "emr-serverless":
            from fruitscale.clusters.emr_serverless import EmrServerlessLauncher

            return EmrServerlessLauncher(launch)
        case "ec2-dask":
            from fruitscale.clusters.ec2_dask import Ec2DaskLauncher

            return Ec2DaskLauncher(launch)
