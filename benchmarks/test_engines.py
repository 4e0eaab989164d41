"""Whole runs as a user starts them, each in its own process, start-up included. For verdicts use `fruitscale bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import QUICKSTART
from tests.conftest import ENGINES, Cli

ROUNDS = 3


@pytest.mark.parametrize("architecture", ["efficientnet_lite0", "patch_mean"])
@pytest.mark.parametrize("engine", ENGINES)
def test_run(
    benchmark: BenchmarkFixture, cli: Cli, photos: Path, tmp_path: Path, engine: str, architecture: str
) -> None:
    runs = iter(range(1000))
    settings = ["--set", f"model.architecture={architecture}", "--set", "slots=2", "--set", "report=false"]

    def output() -> tuple[tuple[Path], dict[str, Any]]:
        return (tmp_path / f"run-{next(runs)}",), {}

    def run(folder: Path) -> dict[str, Any]:
        return cli("run", "-e", engine, "-c", QUICKSTART, *settings, "-i", photos, "-o", folder, "--json").record

    benchmark.group = f"240 images, {architecture}"
    record = benchmark.pedantic(run, setup=output, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info |= {
        "images/s": record["images_per_second"],
        "k": record["pca"]["components"],
        "variance retained": record["pca"]["retained_variance"],
        "seconds": record["seconds"],
    }
    assert record["images"]["featurized"] == 240
