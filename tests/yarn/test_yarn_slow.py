"""The step on YARN while things go wrong: executors, nodes and the driver die, metadata is throttled, memory runs out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fruitscale.clusters.launch import Launch
from fruitscale.engines.base import cut
from fruitscale.pipeline.run import SHARE
from tests.conftest import Cli, take
from tests.s3.bucket import Bucket
from tests.s3.metadata import Metadata
from tests.s3.runs import n_parts, wait_for
from tests.yarn.conftest import NETWORK, PATCHES, Launcher, local_parts
from tests.yarn.step import PrimaryMachine
from tests.yarn.yarn_cluster import Yarn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
SLOTS = 8
LARGE = {"worker_types": ["c6i.8xlarge"]}
"""Machines that hold an executor which this YARN's nodes don't: a launch refuses one that its own machines can't hold."""


@pytest.fixture(scope="module")
def many(all_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """304 photos: 38 shards."""
    return take(all_photos, tmp_path_factory.mktemp("many") / "in", labels=8, each=38)


@pytest.fixture(scope="module")
def expected(cli: Cli, many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of a run on this machine."""
    return local_parts(cli, many, tmp_path_factory.mktemp("local") / "run", NETWORK)


@pytest.fixture
def output(cloud_bucket: Bucket, many: Path) -> Callable[[Launch], Bucket]:
    """A function that returns where a launch writes; the input has all photos."""
    cloud_bucket.at("many").put_folder(many)
    return lambda launch: cloud_bucket.at(launch.config.output.uri.rpartition("/")[2])


def begun(process: object, place: Bucket, parts: int = 6) -> None:
    """Wait until a step has written some parts."""
    assert wait_for(lambda: n_parts(place) >= parts or process.poll() is not None, 400)  # type: ignore[attr-defined]
    assert process.poll() is None  # type: ignore[attr-defined]


def test_tasks_keep_all_slots_busy(
    launched: Launcher, primary: PrimaryMachine, output: Callable[[Launch], Bucket], expected: dict[str, bytes]
) -> None:
    launch, asked = launched(NETWORK, "many")
    ended = primary.finish(primary.start(asked))
    assert ended.code == 0, ended.log[-6000:]
    assert output(launch).parts() == expected
    tasks = primary.tasks()
    assert sum(task.stage == 0 for task in tasks) == len(cut(cut(range(38), SLOTS, SHARE), SLOTS))


@pytest.mark.parametrize("what", ["executor", "node"])
def test_the_run_survives_a_killed(
    what: str, launched: Launcher, yarn: Yarn, primary: PrimaryMachine, output: Callable[[Launch], Bucket],
    expected: dict[str, bytes],
) -> None:  # fmt: skip
    launch, asked = launched(NETWORK, "many")
    process = primary.start(asked)
    begun(process, output(launch))
    if what == "executor":
        os.kill(yarn.executors()[0], signal.SIGKILL)
    else:
        without_master = next(number for number in range(len(yarn.nodes)) if not yarn.masters(number))
        yarn.kill_node(without_master)
    ended = primary.finish(process)
    assert ended.code == 0, ended.log[-6000:]
    assert output(launch).parts() == expected


def test_a_killed_driver_resumes(
    launched: Launcher,
    yarn: Yarn,
    primary: PrimaryMachine,
    output: Callable[[Launch], Bucket],
    expected: dict[str, bytes],
) -> None:
    launch, asked = launched(NETWORK, "many")
    process = primary.start(asked)
    begun(process, output(launch))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_for(lambda: set(yarn.applications().values()) <= {"FAILED", "FINISHED", "KILLED"}, 120)
    done = n_parts(output(launch))
    ended = primary.finish(primary.start(asked))
    assert ended.code == 0, ended.log[-6000:]
    assert done > 0
    assert output(launch).parts() == expected


def test_throttled_metadata_costs_time_only(
    launched: Launcher, primary: PrimaryMachine, metadata: Metadata, output: Callable[[Launch], Bucket],
    expected: dict[str, bytes],
) -> None:  # fmt: skip
    metadata.per_second = 4
    launch, asked = launched(NETWORK, "many")
    ended = primary.finish(primary.start(asked))
    assert ended.code == 0, ended.log[-6000:]
    assert metadata.throttled > 0
    assert output(launch).parts() == expected


def test_a_container_over_its_memory_is_named_and_more_python_mb_completes_the_run(
    cli: Cli,
    many: Path,
    launched: Launcher,
    primary: PrimaryMachine,
    output: Callable[[Launch], Bucket],
    tmp_path: Path,
) -> None:
    large = {**NETWORK, "input_size": 224}
    launch, small = launched(large, "many", python_mb=1, executor_cores=5, **LARGE)
    ended = primary.finish(primary.start(small))
    assert ended.code != 0
    assert "YARN killed executors for using more memory than they had requested" in ended.log
    assert "Raise python_mb" in ended.log
    launch, asked = launched(large, "many", launch.config.output.uri)
    ended = primary.finish(primary.start(asked))
    assert ended.code == 0, ended.log[-6000:]
    assert output(launch).parts() == local_parts(cli, many, tmp_path / "run", large)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"python_mb": 4000}, "An executor needs 16896 MB, but this YARN allows only 4096 MB", id="memory"),
    ],
)  # fmt: skip
def test_an_executor_that_no_node_can_hold_is_refused_in_words(
    settings: dict[str, int], message: str, launched: Launcher, primary: PrimaryMachine
) -> None:
    _, asked = launched(PATCHES, **LARGE, **settings)
    ended = primary.finish(primary.start(asked))
    assert ended.code != 0
    assert message in ended.log
    assert "Lower executor_cores" in ended.log
    assert "in the output of spark-submit" in ended.log or "Spark's log" not in ended.log


def test_an_application_that_is_killed_says_by_whom(
    launched: Launcher, yarn: Yarn, primary: PrimaryMachine, output: Callable[[Launch], Bucket]
) -> None:
    launch, asked = launched(NETWORK, "many")
    process = primary.start(asked)
    begun(process, output(launch), 2)
    yarn.kill(next(iter(yarn.applications())))
    ended = primary.finish(process)
    assert ended.code != 0
    assert "was killed" in ended.log
    assert "Finished parts are kept" in ended.log
