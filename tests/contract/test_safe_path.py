"""No file of the current folder is imported by a worker, whatever it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import QUICK, Cli


@pytest.mark.parametrize("name", ["local", "spark", "dask"])
def test_a_run_imports_nothing_from_the_current_folder(cli: Cli, photos: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    for module in ("random", "numpy", "json", "PIL"):
        (folder / f"{module}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write({module!r})\nraise SystemExit"
        )
    command = [
        sys.executable,
        "-P",
        "-m",
        "fruitscale",
        "run",
        "-e",
        name,
        *QUICK,
        "-i",
        photos,
        "-o",
        tmp_path / "run",
    ]
    ran = subprocess.run(
        [*map(str, command)], env=cli.environment, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert not (tmp_path / "imported").exists()
