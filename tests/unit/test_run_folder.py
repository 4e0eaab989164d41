"""What a run folder removes: its own files, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fruitscale.errors import OutputError
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage.store import LocalStore


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("action", ["clear", "clear_reduced"])
def test_foreign_files_stay(tmp_path: Path, action: str) -> None:
    foreign = [
        write(tmp_path / name) for name in ("features/notes.txt", "reduced/part-1.parquet", "reduced/a/b.parquet")
    ]
    own = write(tmp_path / "reduced" / "part-00000.parquet")
    getattr(RunFolder(LocalStore(tmp_path)), action)()
    assert all(path.exists() for path in foreign)
    assert not own.exists()


def test_nothing_behind_a_link_is_removed(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere" / "part-00000.parquet")
    run = tmp_path / "run"
    run.mkdir()
    (run / "features").symlink_to(elsewhere.parent)
    with pytest.raises(OutputError, match="is a link"):
        RunFolder(LocalStore(run)).clear()
    assert elsewhere.exists()
