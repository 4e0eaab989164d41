"""fruitscale.run from somebody's own script, without a `__main__` guard; and what `--help` costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fruitscale
from tests.conftest import ROOT, SLOW_ENGINES, Cli

SCRIPT = """
import sys, fruitscale
record = fruitscale.run({{**{config}, "engine": sys.argv[1], "output": {{"uri": sys.argv[2]}}}})
print(record.to_json())
"""
HEAVY = {
    "pyspark",
    "dask",
    "distributed",
    "tensorflow",
    "openvino",
    "cv2",
    "boto3",
    "pandas",
    "sklearn",
    "bokeh",
    "pyarrow",
}


def script(photos: Path, folder: Path) -> Path:
    config = {
        "input": {"uri": str(photos), "limit": 60},
        "model": {"architecture": "efficientnet_lite0", "weights": "packaged", "input_size": 64},
    }
    file = folder / "job.py"
    file.write_text(SCRIPT.format(config=config))
    return file


@pytest.mark.parametrize("engine_name", SLOW_ENGINES)
def test_an_unguarded_script_runs(cli: Cli, engine_name: str, photos: Path, tmp_path: Path) -> None:
    file = script(photos, tmp_path)
    command = [sys.executable, str(file), engine_name, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=cli.environment, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"]["featurized"] == 60


@pytest.mark.slow
def test_spark_submit_s_master_is_kept(cli: Cli, photos: Path, tmp_path: Path) -> None:
    import pyspark

    from fruitscale.engines.java import find_java

    home = Path(pyspark.__file__).parent
    environment = cli.environment | {
        "JAVA_HOME": str(find_java(pyspark.__version__).home),
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    command = [str(home / "bin" / "spark-submit"), "--master", "local[1]", str(script(photos, tmp_path)), "spark"]
    done = subprocess.run(
        [*command, str(tmp_path / "run")], capture_output=True, text=True, env=environment, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["engine"]["master"], record["engine"]["cores"]) == ("local[1]", 1)


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "fruitscale", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fruitscale.cli" in imported
    assert not imported & HEAVY


def test_every_verb_has_help(cli: Cli) -> None:
    for verb in (["run"], ["show"], ["sample"], ["doctor"], ["config", "show"], ["model", "check"]):
        ran = cli(*verb, "--help")
        assert ran.code == 0
        assert "Usage" in ran.out


def test_keywords_are_enough_for_a_run(photos: Path, tmp_path: Path) -> None:
    model = {"architecture": "patch_mean", "input_size": 64}
    settings = {"input": {"limit": 24}, "model": model, "pca": {"components": 3}, "report": False}
    made = fruitscale.run(settings, input=str(photos), output=str(tmp_path / "run"), engine="local")
    assert (made.images.featurized, made.engine.name) == (24, "local")
    assert fruitscale.record(str(tmp_path / "run")).id == made.id


def test_tab_completion_lists_the_api() -> None:
    assert dir(fruitscale) == sorted(fruitscale.__all__)
