"""The launcher's EMR step on a real YARN of two nodes, with EMR's Spark settings: the parts equal those of a local run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Cli
from tests.s3.bucket import Bucket
from tests.yarn.conftest import PATCHES, Launcher, local_parts
from tests.yarn.step import PrimaryMachine


def test_the_recorded_step_completes_the_run(
    cli: Cli, photos_24: Path, launched: Launcher, primary: PrimaryMachine, cloud_bucket: Bucket, tmp_path: Path
) -> None:
    launch, asked = launched(PATCHES)
    ended = primary.finish(primary.start(asked))
    assert ended.code == 0, ended.log[-6000:]
    output = cloud_bucket.at(launch.config.output.uri.rpartition("/")[2])
    engine = json.loads(output.get("run.json"))["engine"]
    assert engine["master"] == "yarn"
    assert output.parts() == local_parts(cli, photos_24, tmp_path / "run", PATCHES)
    assert sum(task.stage == 0 for task in primary.tasks()) == 3  # one per shard: cut for the 8 cores that may come
