"""How long the tasks of stage 1 keep a cluster busy: a simulation of list scheduling over the real cut."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

import pytest

from fruitscale.config.loading import from_mapping
from fruitscale.engines.base import GROWING_CORES, EngineInfo, cut
from fruitscale.engines.spark_settings import expected_cores
from fruitscale.pipeline.run import SHARE
from fruitscale.runs.fingerprints import shard_images

FRUITS_360 = 67_692
MILLION = 1_000_000
PHOTO_SECONDS = 0.040
SPREAD = 1.2
"""Standard deviation of a photo's time, as a fraction of the mean."""
TASK_SECONDS = 0.15
"""What a task costs besides its photos: scheduling, its first read from S3, its last write."""
START_SECONDS = 1.0
"""How long a worker loads the network."""

DYNAMIC, MOST = "dynamicAllocation.enabled", "dynamicAllocation.maxExecutors"


def spark_tasks(photos: int, cores: int) -> list[list[int]]:
    """Return the photos of each shard, by Spark task, as the pipeline and the engine cut them."""
    step = shard_images(from_mapping({}), photos)
    shards = [min(step, photos - start) for start in range(0, photos, step)]
    batches = cut(shards, cores, SHARE)
    return [[photos for batch in chunk for photos in batch] for chunk in cut(batches, cores)]


def efficiency(tasks: Sequence[Sequence[int]], cores_from: Sequence[float]) -> float:
    """Return the share of the core-seconds that went into photos, with a core available from each of these times."""
    draw = random.Random(1)
    speeds = [draw.uniform(0.95, 1.05) for _ in cores_from]
    free = [(at + START_SECONDS, core) for core, at in enumerate(cores_from)]
    heapq.heapify(free)
    work = end = 0.0
    for task in tasks:
        at, core = heapq.heappop(free)
        seconds = speeds[core] * sum(n * PHOTO_SECONDS * max(draw.gauss(1, SPREAD / n**0.5), 0) for n in task)
        work += seconds
        heapq.heappush(free, (at + seconds + TASK_SECONDS, core))
        end = max(end, at + seconds + TASK_SECONDS)
    return work / sum(max(end - at, 0) for at in cores_from)


@pytest.mark.parametrize(
    ("photos", "cores", "least"),
    [
        pytest.param(FRUITS_360, 8, 0.95, id="67692-on-8"),
        pytest.param(FRUITS_360, 16, 0.95, id="67692-on-16"),
        pytest.param(FRUITS_360, 64, 0.90, id="67692-on-64"),
        pytest.param(FRUITS_360, 256, 0.70, id="67692-on-256"),  # 4 shards per core: their number, not the cut, limits
        pytest.param(FRUITS_360, 512, 0.60, id="67692-on-512"),  # 10 s of work, and 2 shards per core
        pytest.param(MILLION, 8, 0.98, id="million-on-8"),
        pytest.param(MILLION, 16, 0.97, id="million-on-16"),
        pytest.param(MILLION, 64, 0.95, id="million-on-64"),
        pytest.param(MILLION, 256, 0.88, id="million-on-256"),
        pytest.param(MILLION, 512, 0.85, id="million-on-512"),
    ],
)
def test_cores_finish_together(photos: int, cores: int, least: float) -> None:
    tasks = spark_tasks(photos, cores)
    reached = efficiency(tasks, [0.0] * cores)
    assert sum(sum(task) for task in tasks) == photos
    assert reached >= least


@pytest.mark.parametrize("cores", [2, 4, 8, 16, 64])
def test_a_cluster_of_unknown_size_is_used_well_whatever_comes(cores: int) -> None:
    assert efficiency(spark_tasks(FRUITS_360, GROWING_CORES), [0.0] * cores) >= 0.9


def test_tasks_cut_for_what_is_there_leave_later_machines_idle() -> None:
    """EMR begins with 16 cores, and 48 more come within the run."""
    late = [0.0] * 16 + [20.0] * 48
    assert efficiency(spark_tasks(FRUITS_360, 4), late) < 0.6
    assert efficiency(spark_tasks(FRUITS_360, 64), late) >= 0.9


@pytest.mark.parametrize(
    ("settings", "cores"),
    [
        pytest.param({DYNAMIC: "true", MOST: "16", "executor.cores": "4"}, 64, id="dynamic"),
        pytest.param({DYNAMIC: "true", "executor.cores": "4"}, GROWING_CORES, id="dynamic-unlimited"),
        pytest.param({DYNAMIC: "true", MOST: "2147483647"}, GROWING_CORES, id="dynamic-spark-s-default"),
        pytest.param({MOST: "16", "executor.instances": "3", "executor.cores": "2"}, 6, id="fixed"),
        pytest.param({"executor.instances": "10", "executor.cores": "8", "task.cpus": "2"}, 40, id="two-cpus-per-task"),
        pytest.param({}, GROWING_CORES, id="nothing-set"),
    ],
)  # fmt: skip
def test_spark_s_settings_determine_the_expected_cores(settings: dict[str, str], cores: int) -> None:
    assert expected_cores({f"spark.{key}": value for key, value in settings.items()}.get) == cores


def test_tasks_are_cut_for_the_larger_of_present_and_expected_cores() -> None:
    def cores_of(present: int, expected: int) -> int:
        return EngineInfo("spark", "4.1.0", "yarn", present, 1, None, expected_cores=expected).cut_cores

    assert (cores_of(2, 64), cores_of(128, 64), cores_of(4, 0)) == (64, 128, 4)
