"""Children find fruitscale and end with their parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fruitscale import processes
from tests.conftest import ROOT


def test_a_child_of_a_checkout_imports_it_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environment = processes.child_environment({"GIVEN": "yes"})
    assert environment["PYTHONPATH"] == f"{ROOT}{os.pathsep}{tmp_path}"
    command = [sys.executable, "-P", "-c", "import fruitscale, os; print(os.environ['GIVEN'], fruitscale.__file__)"]
    printed = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["yes", str(ROOT / "fruitscale" / "__init__.py")]


def test_a_child_of_an_installed_package_keeps_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PACKAGE_ROOT", tmp_path / "lib" / "site-packages")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert "PYTHONPATH" not in processes.child_environment({})


PARENT = """
import sys
from pathlib import Path
from fruitscale import processes
processes.start("timeit", ["-n1", "-r1", "import time; time.sleep(600)"], removes=Path(sys.argv[1]))
print("started", flush=True)
sys.stdin.read()
"""


def test_a_child_ends_with_a_parent_that_is_killed_and_removes_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)],
        env=processes.child_environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == ""  # the child held the other end too: it has ended
    parent.stdin.close()
    parent.stdout.close()
    assert not folder.exists()
