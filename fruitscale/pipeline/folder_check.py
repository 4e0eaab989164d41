"""Checks that workers on other machines see the folders of a run."""

from __future__ import annotations

from fruitscale import stages
from fruitscale.engines.base import Engine, EngineInfo
from fruitscale.errors import EngineError
from fruitscale.storage import lock
from fruitscale.uris import is_s3


def check_workers_see_folders(engine: Engine, info: EngineInfo, job: stages.Job) -> None:
    """Raise EngineError if a worker on another machine does not see the driver's folders."""
    probe = stages.FolderProbe(job.input_uri, f"{job.output_uri}/{lock.NAME}")
    for input_seen, output_seen in engine.map(stages.sees_folders, [probe] * max(info.cores, 1) * 2):
        for seen, key, uri in ((input_seen, "input", job.input_uri), (output_seen, "output", job.output_uri)):
            if not seen and not is_s3(uri):
                raise EngineError(
                    f"The workers of {info.master} don't see the {key} folder {uri}.",
                    "Use s3:// or a folder that is mounted on every machine.",
                )
