"""The tasks of each stage, run in this process without an engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fruitscale import stages
from fruitscale.config.schema import Config, Model
from fruitscale.kernels.backbone import F32
from fruitscale.kernels.moments import Components, fit
from fruitscale.model import exported_model
from fruitscale.runs import manifest
from fruitscale.storage import listing, lock
from fruitscale.storage.store import LocalStore

SHARD = 80


@dataclass(frozen=True)
class InProcessValue:
    """A shared value without an engine."""

    payload: bytes

    def value(self) -> bytes:
        return self.payload


@dataclass(frozen=True)
class Work:
    """A run folder, prepared for tasks."""

    job: stages.Job
    payload: InProcessValue
    shards: tuple[stages.Shard, ...]

    @property
    def output(self) -> Path:
        return Path(self.job.output_uri)

    def featurize(self) -> list[stages.ShardReport]:
        return stages.featurize_shards(stages.ShardBatch(self.job, self.shards), self.payload)

    def remove_features(self) -> None:
        shutil.rmtree(self.output / "features", ignore_errors=True)


@pytest.fixture(params=["network", "patch_mean"])
def work(request: pytest.FixtureRequest, config: Config, photos: Path, tmp_path: Path) -> Iterator[Work]:
    architecture = config.model.architecture if request.param == "network" else request.param
    exported = exported_model.export(Model(**config.model.model_dump() | {"architecture": architecture}))
    source = config.input.model_copy(update={"uri": str(photos)})
    listed, output = manifest.build(listing.list_photos(source, config.storage)), LocalStore(tmp_path / "run")
    job = stages.Job(
        run_id="benchmark", input_uri=str(photos), output_uri=str(tmp_path / "run"), storage=config.storage,
        images=config.images, manifest=listed.read_from, manifest_sha256=listed.sha256 + listed.versions_sha256,
        model_sha256=exported.sha256, execution=F32, input_size=exported.input_size, features=exported.features,
        shard_images=SHARD,
    )  # fmt: skip
    starts = range(0, listed.images, SHARD)
    shards = tuple(stages.Shard(i, start, min(start + SHARD, listed.images)) for i, start in enumerate(starts))
    with lock.locked(output, "benchmark"):
        manifest.write(listed, output)
        yield Work(job, InProcessValue(exported.payload), shards)


def test_list(benchmark: BenchmarkFixture, config: Config, photos: Path) -> None:
    source = config.input.model_copy(update={"uri": str(photos)})

    def build() -> Any:
        return manifest.build(listing.list_photos(source, config.storage))

    assert benchmark.pedantic(build, rounds=10, warmup_rounds=1).images == 240


def test_featurize(benchmark: BenchmarkFixture, work: Work) -> None:
    benchmark.group = "featurize 240 images"
    reports = benchmark.pedantic(work.featurize, setup=work.remove_features, rounds=5, warmup_rounds=1)
    for step in ("read", "decode", "infer", "write"):
        benchmark.extra_info[f"{step}, ms per image"] = sum(r.seconds.get(step, 0) for r in reports) / 240 * 1000
    assert sum(report.featurized for report in reports) == 240


def test_fit(benchmark: BenchmarkFixture, work: Work) -> None:
    work.featurize()
    group = stages.PartGroup(work.job, 0, 0, len(work.shards))
    benchmark.group = "moments of 240 images"
    _, found = benchmark.pedantic(stages.group_moments, (group, None), rounds=5, warmup_rounds=1)
    assert found.count == 240


def test_project(benchmark: BenchmarkFixture, work: Work) -> None:
    work.featurize()
    _, found = stages.group_moments(stages.PartGroup(work.job, 0, 0, len(work.shards)), None)
    fitted: Components = fit(found, 32)
    task, shared = stages.ProjectionTask(work.job, 0, 1, work.job.model_sha256), InProcessValue(fitted.to_bytes())
    benchmark.group = f"project {SHARD} images"
    assert benchmark.pedantic(stages.project_parts, (task, shared), rounds=10, warmup_rounds=1)
