"""What a run folder removes: its own files, and nothing else. Its record stays intact in later versions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fruitscale.errors import OutputError
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage.store import LocalStore
from tests.unit.report_records import record


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


def test_a_record_of_a_version_with_fewer_fields_is_intact() -> None:
    values = json.loads(record(240, "/photos").sealed().to_json())
    del values["sha256"], values["warnings"]  # as a version wrote it that knew no warnings
    values["sha256"] = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    older = RunRecord.model_validate(values)
    assert older.is_intact
    assert not RunRecord.model_validate(values | {"erased": 1}).is_intact
    assert RunRecord.model_validate_json(older.sealed().to_json()).is_intact
    assert "warnings" in older.sealed().to_json()
