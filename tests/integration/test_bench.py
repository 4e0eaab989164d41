"""`fruitscale bench` as a user runs it, with patch_mean to keep the runs short."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ENGINES, QUICK, Cli, part_bytes

PATCHES = [*QUICK, "--set", "model.architecture=patch_mean"]


@pytest.fixture(scope="module")
def found(cli: Cli, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A benchmark of local and dask: its folder, its stdout and its stderr."""
    out = tmp_path_factory.mktemp("bench") / "out"
    options = ["--engines", "local,dask", "--slots", "2", "--images", "300", "--repeats", "1", "--seed", "3"]
    ran = cli("bench", *PATCHES, *options, "-i", photos, "--out", out, "--set", "bench.price_per_core_hour=0.05")
    assert ran.code == 0, ran.err
    return out, ran.out, ran.err


def read(folder: Path) -> Any:
    return json.loads((folder / "bench.json").read_text())


def test_every_run_has_the_result_of_the_reference(found: tuple[Path, str, str]) -> None:
    samples = read(found[0])["fruitscale"]["samples"]
    assert {sample["outcome"] for sample in samples} == {"ok"}
    assert len({sample["answer"]["features_sha256"] for sample in samples}) == 1, "on every engine"
    assert {sample["answer"]["featurized"] for sample in samples} == {300}


def test_every_variant_is_measured(found: tuple[Path, str, str]) -> None:
    results = read(found[0])["fruitscale"]
    kinds = [sample["kind"] for sample in results["samples"]]
    assert (kinds.count("reference"), kinds.count("cold"), kinds.count("warm-up")) == (1, 2, 0)
    assert (kinds.count("timed"), kinds.count("twin")) == (2, 1)
    for variant in results["variants"]:
        assert variant["seconds"] > variant["stages"]["featurize"] > 0
        assert variant["peak_mb"] > 50
        assert variant["cpu_seconds"] > 0.5
        assert variant["images_per_second_per_slot"] == pytest.approx(variant["images_per_second"] / 2)
        assert variant["cost_per_million"] > 0
    assert [c["ratio"]["pairs"] for c in results["comparisons"] + results["floors"]] == [1] * 2


def test_the_tables_are_printed_and_written(found: tuple[Path, str, str]) -> None:
    out, printed, progress = found
    written = (out / "bench.md").read_text()
    for text in (printed, written):
        assert "300 images: 240 photos, repeated under other names" in text
        assert "Speed (medians)" in text
        assert "Dask / local" in text
        assert "Cold start" in text
    assert "(round 1, Dask): " in progress


def test_pytest_benchmark_reads_it(found: tuple[Path, str, str]) -> None:
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "bench.json"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=found[0], check=True)
    assert "dask-2x300-f32" in process.stdout


@pytest.mark.slow
def test_patch_mean_gives_the_same_parts_on_every_engine(cli: Cli, photos: Path, tmp_path: Path) -> None:
    parts = []
    for engine in ENGINES:
        record = cli("run", "-e", engine, *PATCHES, "-i", photos, "-o", tmp_path / engine, "--json").record
        model = record["model"]
        assert (model["weights"], model["runtime"], model["pretrained"], model["features"]) == (
            "none", "numpy", False, 192,
        )  # fmt: skip
        parts.append(part_bytes(tmp_path / engine))
    assert parts[0] == parts[1] == parts[2]
    assert parts[0]
    assert "patch_mean, none (no weights: not trained)" in cli("show", tmp_path / "local").out


def test_a_failure_is_shown(cli: Cli, photos: Path) -> None:
    options = ["--engines", "local", "--images", "64", "--repeats", "1", "--set", "bench.timeout_seconds=0.2"]
    ran = cli("bench", *PATCHES, *options, "-i", photos)
    assert ran.code == 0
    assert "timeout" in ran.out
    assert "Failures" in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engines", "coiled"], "--engines"),
        (["--slots", "two"], "--slots two"),
        (["--images", "0"], "bench.images"),
        (["--images", "auto"], "--images auto"),
        (["--out", "/proc/nowhere"], "--out"),
        ([], "--input"),
    ],
)
def test_wrong_use_is_refused(cli: Cli, arguments: list[str], words: str) -> None:
    ran = cli("bench", *PATCHES, *arguments)
    assert ran.code in (1, 2)
    assert words in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("library", ["psutil", "pytest_benchmark"])
def test_a_missing_library_is_named_before_any_run(cli: Cli, photos: Path, tmp_path: Path, library: str) -> None:
    (tmp_path / f"{library}.py").write_text("raise ModuleNotFoundError('not installed')")
    ran = cli("bench", *PATCHES, "-i", photos, PYTHONPATH=f"{tmp_path}:{cli.environment['PYTHONPATH']}")
    assert ran.code == 2
    assert "fruitscale[bench]" in ran.err
    assert library.replace("_", "-") in ran.err
    assert "reference" not in ran.err


@pytest.mark.slow
def test_overhead(cli: Cli) -> None:
    ran = cli("bench", "overhead", "--tasks", "5,20", "--repeats", "1", "--set", "slots=2", "--json")
    assert ran.code == 0, ran.err
    overheads = json.loads(ran.out)
    assert [(one["engine"], one["tasks"]) for one in overheads] == [(e, n) for e in ENGINES for n in (5, 20)]
    assert all(one["ms_per_task"] > 0 and not one["failure"] for one in overheads)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["spark", "dask"])
def test_recovery(cli: Cli, photos: Path, engine: str) -> None:
    ran = cli("bench", "recovery", *PATCHES, "--engines", engine, "--images", "2000", "-i", photos, "--json")
    assert ran.code == 0, ran.err
    [recovery] = json.loads(ran.out)
    assert recovery["failure"] == ""
    assert recovery["same_answer"] is True
    assert recovery["parts"] / 2 <= recovery["parts_at_kill"] < recovery["parts"]
    lost = recovery["disturbed_seconds"] - recovery["undisturbed_seconds"]
    assert recovery["lost_seconds"] == pytest.approx(lost)
