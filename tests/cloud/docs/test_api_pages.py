"""The pages of the Python API build without a warning, and have what they should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fruitscale
from tests.conftest import ROOT


def test_every_public_name_has_its_text(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "api.py"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "fruitscale.html").read_text()
    for name in set(fruitscale.__all__) - {"__version__"}:
        assert f'id="{name}"' in page
        assert f'id="{name}.' in page or getattr(fruitscale, name).__doc__.strip().splitlines()[0][:20] in page
    frames = (tmp_path / "site" / "fruitscale" / "frames" / "spark.html").read_text()
    assert 'id="featurize"' in frames
