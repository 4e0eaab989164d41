"""Runs that photos are erased from."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli, take
from tests.integration.erased import CORRUPT, RUN, manifest_of


@pytest.fixture(scope="session")
def named(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 photos with names that are in no file by chance, and some that can't be used."""
    folder = take(photos, tmp_path_factory.mktemp("named") / "in", labels=6, each=40)
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        path.rename(path.with_name(f"visitor-{number:04d}-é.jpg"))
    for number, label in zip(range(CORRUPT), sorted(folder.iterdir()), strict=False):
        (label / f"visitor-broken-{number}.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="session")
def intact_run(cli: Cli, named: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing was erased from, with a page that names photos."""
    run = tmp_path_factory.mktemp("whole") / "run"
    made = cli("run", *RUN, "-i", named, "-o", run)
    assert made.code == 0, made.err
    shown = "".join(f"{path} {base64.b64encode(path.encode()).decode()}\n" for path in manifest_of(run))
    (run / "report.html").write_text(f'<meta name="generator" content="fruitscale">\n{shown}')
    return run


@pytest.fixture
def run(intact_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(intact_run, tmp_path / "run")
