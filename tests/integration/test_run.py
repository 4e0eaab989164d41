"""The main job as a user runs it, on each engine: the same parts, an honest account, resumable."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ENGINES, QUICK, Cli, part_bytes

SHARD = ["--set", "shards.images=30"]


@pytest.fixture(scope="module")
def source(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 good photos, one cut short and one that is HTML."""
    folder = tmp_path_factory.mktemp("source") / "in"
    shutil.copytree(photos, folder)
    label = sorted(folder.iterdir())[0]
    (label / "cut_100.jpg").write_bytes(sorted(label.glob("*.jpg"))[0].read_bytes()[:900])
    (label / "html_100.jpg").write_text("<html>no</html>")
    return folder


@pytest.fixture(scope="module")
def runs(cli: Cli, source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    out = tmp_path_factory.mktemp("runs")
    records = {}
    for engine in ENGINES:
        ran = cli("run", "--engine", engine, *QUICK, *SHARD, "-i", source, "-o", out / engine, "--json")
        records[engine] = (out / engine, ran.record)
    return records


def test_all_engines_make_the_same_parts(runs: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    expected = part_bytes(runs["local"][0])
    assert len(expected) == 2 * 9
    for engine in ("spark", "dask"):
        assert part_bytes(runs[engine][0]) == expected
    assert len({record["pca"]["retained_variance"] for _, record in runs.values()}) == 1


@pytest.mark.parametrize("name", ENGINES)
def test_every_image_is_accounted_for(runs: dict[str, tuple[Path, dict[str, Any]]], name: str) -> None:
    folder, record = runs[name]
    assert record["images"] == {"featurized": 240, "rejected": 2, "resumed": 0}
    assert record["input"]["images"] == pq.read_table(folder / "manifest.parquet").num_rows == 242
    assert record["input"]["labels"] == 6
    rejects = pq.read_table(folder / "rejects.parquet").to_pylist()
    reasons = {row["path"].rsplit("/", 1)[-1]: row["reason"] for row in rejects}
    assert reasons == {"cut_100.jpg": "truncated", "html_100.jpg": "not an image"}


@pytest.mark.parametrize("name", ENGINES)
def test_the_model_is_loaded_once_a_worker_process(runs: dict[str, tuple[Path, dict[str, Any]]], name: str) -> None:
    record = runs[name][1]
    assert record["engine"]["name"] == name
    assert 1 <= record["model_loads"] <= record["engine"]["cores"] == 2


def test_the_record_has_every_name(runs: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    folder, record = runs["local"]
    written = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    files = sorted({*written} - {"run.json", "_run/lock", "_run/progress.json"})
    assert {name: sorted(value) if isinstance(value, dict) else None for name, value in record.items()} == {
        "schema": None,
        "id": None,
        "status": None,
        "fruitscale": None,
        "fingerprints": ["features", "pca"],
        "engine": ["cores", "machines", "master", "name", "ui", "version", "workers"],
        "input": ["archived", "bytes", "images", "labels", "manifest_sha256", "not_taken", "shared_labels", "uri"],
        "output": ["uri"],
        "model": sorted(
            [
                "architecture",
                "weights",
                "weights_sha256",
                "sha256",
                "pretrained",
                "runtime",
                "precision",
                "input_size",
                "features",
                "preprocess",
                "output",
                "photos_per_call",
                "cpu",
                "calibration",
            ]
        ),
        "images": ["featurized", "rejected", "resumed"],
        "pca": ["applied", "components", "requested", "retained_variance", "standardize"],
        "seconds": ["export", "featurize", "fit", "list", "project", "start", "total"],
        "worker_seconds": ["decode", "infer", "load", "read", "write"],
        "images_per_second": None,
        "images_per_second_per_core": None,
        "model_loads": None,
        "retries": ["reads", "tasks", "writes"],
        "peak_rss_mb": ["driver", "worker"],
        "cost": None,
        "environment": ["cpu", "packages", "platform", "python"],
        "residency": None,
        "erased": None,
        "files": files,
        "sha256": None,
        "reject_limit": ["above_fraction", "allowed", "fraction"],
        "warnings": [],
        "cpu_kinds": sorted(record["cpu_kinds"]),
        "kept_cpu_kinds": None,
    }
    assert (record["schema"], record["status"]) == (1, "complete")


def test_the_pca_is_that_of_scikit_learn(runs: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    from sklearn.decomposition import PCA

    folder, record = runs["local"]
    features, scores = (_column(folder, *names) for names in (("features", "features"), ("reduced", "components")))
    k = record["pca"]["components"]
    oracle = PCA(svd_solver="full").fit(features)
    expected = oracle.transform(features)[:, :k]
    expected *= np.sign((expected * scores).sum(axis=0))  # an eigenvector's sign is free
    assert np.linalg.norm(expected - scores) < 1e-5 * np.linalg.norm(expected)
    assert record["pca"]["retained_variance"] == pytest.approx(oracle.explained_variance_ratio_[:k].sum(), abs=1e-8)
    assert oracle.explained_variance_ratio_[: k - 1].sum() < 0.95 < record["pca"]["retained_variance"]


def test_a_complete_run_is_verified_and_not_rewritten(
    cli: Cli, source: Path, runs: dict[str, tuple[Path, dict[str, Any]]]
) -> None:
    folder, record = runs["spark"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    again = cli("run", "--engine", "spark", *QUICK, *SHARD, "-i", source, "-o", folder, "--json").record
    assert again == record
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == before


def test_a_damaged_part_is_made_anew(
    cli: Cli, source: Path, runs: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs["local"][0], folder)
    expected = part_bytes(folder)
    damaged = folder / "features" / "part-00003.parquet"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    record = cli("run", "--engine", "local", *QUICK, *SHARD, "-i", source, "-o", folder, "--json").record
    assert record["images"] == {"featurized": 240, "rejected": 2, "resumed": 210}
    assert part_bytes(folder) == expected


def test_another_pca_needs_no_inference(
    cli: Cli, source: Path, runs: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs["local"][0], folder)
    arguments = ["run", "--engine", "local", *QUICK, *SHARD, "-i", source, "-o", folder, "--json"]
    record = cli(*arguments, "--set", "pca.components=7").record
    assert record["pca"]["components"] == 7
    assert record["images"] == {"featurized": 240, "rejected": 2, "resumed": 240}
    assert (record["model_loads"], record["images_per_second"]) == (0, None)
    assert _column(folder, "reduced", "components").shape == (240, 7)


def test_another_run_is_refused_unless_overwritten(
    cli: Cli, source: Path, runs: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs["local"][0], folder)
    arguments = ["run", "--engine", "local", *QUICK, *SHARD, "--set", "model.input_size=48", "-i", source, "-o", folder]
    refused = cli(*arguments)
    assert refused.code == 1
    assert "model.input_size was 64, is 48" in refused.err
    assert "--overwrite" in refused.err
    assert (folder / "run.json").exists()
    record = cli(*arguments, "--overwrite", "--json").record
    assert record["images"] == {"featurized": 240, "rejected": 2, "resumed": 0}
    assert record["model"]["input_size"] == 48


def test_show_tells_the_record(cli: Cli, runs: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    folder, record = runs["dask"]
    assert cli("show", folder, "--json").record == record
    shown = cli("show", folder).out
    for text in ("240 with 6 labels", f"{record['pca']['components']} of 1280 keep", "efficientnet_lite0"):
        assert text in shown


def test_a_dry_run_does_nothing(cli: Cli, photos: Path, tmp_path: Path) -> None:
    ran = cli("run", *QUICK, "-i", photos, "-o", tmp_path / "run", "--dry-run", "--slots", "3")
    assert "3 tasks at once" in ran.out
    assert ran.code == 0
    assert "240 with 6 labels" in ran.out
    assert not (tmp_path / "run").exists()


def _column(folder: Path, place: str, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    parts = sorted((folder / place).glob("*.parquet"))
    values = pa.concat_tables([pq.read_table(part) for part in parts])[name].combine_chunks()
    return np.asarray(values.flatten(), dtype=np.float64).reshape(len(values), -1)
