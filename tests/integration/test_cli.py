"""The smaller commands, run as a user does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fruitscale import __version__
from tests.conftest import QUICK, Cli, Ran
from tests.integration.test_bench import PATCHES


def test_version(cli: Cli) -> None:
    assert cli("--version").out.strip() == f"fruitscale {__version__}"


def test_config_show_names_the_source_of_each_value(cli: Cli) -> None:
    shown = cli("config", "show", *QUICK, "--engine", "dask").out
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert rows["engine"].split()[1:] == ["dask", "--engine"]
    assert "--set model.input_size" in rows["model.input_size"]
    assert "quickstart.yaml" in rows["model.weights"]


def test_config_schema_is_json(cli: Cli) -> None:
    schema = json.loads(cli("config", "schema").out)
    assert {"engine", "input", "output", "model", "pca"} <= set(schema["properties"])


def test_sample_is_repeatable(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert cli("sample", tmp_path / name, "--classes", "2", "--per-class", "3", "--corrupt", "2").code == 0
    contents = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("a", "b")]
    assert len(contents[0]) == 8
    assert contents[0] == contents[1]


def test_model_export_is_used_without_tensorflow(cli: Cli, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    assert cli("model", "export", file, *QUICK).code == 0
    blocked = tmp_path / "blocked"
    (blocked / "tensorflow").mkdir(parents=True)
    (blocked / "tensorflow" / "__init__.py").write_text("raise ImportError('no TensorFlow here')")
    path = f"{blocked}:{cli.environment['PYTHONPATH']}"
    arguments = [
        "-e",
        "local",
        *QUICK,
        "-i",
        photos,
        "-o",
        tmp_path / "run",
        "--set",
        f"model.exported={file}",
        "--json",
    ]
    record = cli("run", *arguments, PYTHONPATH=path, XDG_CACHE_HOME=str(tmp_path / "no-cache")).record
    shown = json.loads(cli("model", "show", *QUICK, "--json").out)
    assert record["model"]["sha256"] == shown["sha256"]
    assert record["model"]["pretrained"] is True


@pytest.mark.parametrize("name", ["local", "spark", "dask"])
def test_doctor_accepts_what_can_run(cli: Cli, name: str) -> None:
    ran = cli("doctor", *QUICK, "--engine", name)
    assert ran.code == 0, ran.out
    assert "missing" not in ran.out


def test_doctor_names_what_is_missing(cli: Cli, tmp_path: Path) -> None:
    ran = cli("doctor", *QUICK, "--set", f"input.uri={tmp_path}/nowhere", "--json")
    assert ran.code == 1
    wrong = [finding for finding in json.loads(ran.out) if finding["needed"] and not finding["ok"]]
    assert [finding["what"] for finding in wrong] == ["input"]


def test_the_same_run_again_says_what_is_there(cli: Cli, photos: Path, tmp_path: Path) -> None:
    same = ("run", "-e", "local", *PATCHES, "-i", photos, "-o", tmp_path / "run")

    def dry(*options: str) -> Ran:
        return cli(*same, *options, "--dry-run")

    assert "no run yet" in dry().out
    assert cli(*same).code == 0
    assert "this run, complete: it would be verified and left unchanged" in dry().out
    assert "they would be kept, and the PCA fitted again" in dry("-s", "pca.components=3").out
    refused = dry("-s", "model.input_size=32")
    assert (refused.code, "another run" in refused.err) == (1, True)
    again = cli(*same)
    assert again.code == 0
    assert "is complete: verified, nothing to do" in again.out
    assert "Seconds" not in again.out

    part = tmp_path / "run" / "features" / "part-00000.parquet"
    part.write_bytes(b"")
    assert "it would be repaired" in dry().out
    (tmp_path / "run" / "run.json").unlink()
    assert "unfinished: it would resume" in dry().out
