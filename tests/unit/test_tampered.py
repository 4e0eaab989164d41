"""Files of a run that anybody may have changed: readers name the damaged one, and no hint destroys a run for a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fruitscale.errors import FruitscaleError, OutputError
from fruitscale.runs import journal, manifest
from fruitscale.runs.damage import damage_hint
from fruitscale.runs.parts import encode
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import PLAN, RECORD, RunFolder
from fruitscale.storage.listing import Photo
from fruitscale.storage.lock import NAME, check_held, locked
from fruitscale.storage.store import LocalStore, Store
from tests.unit.report_records import record

PORTAL = b"<!DOCTYPE html><html><body>Sign in to the guest network</body></html>"
NOT_JSON = [b"", b"{", b"\xff\xfe", PORTAL, b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000]
NOT_OURS = [b"null", b"1", b"[]", b"{}", b'"x"', b"NaN", b'{"x": 1}']
READERS: dict[str, Callable[[Store], Any]] = {
    PLAN: lambda store: RunFolder(store).read_plan(),
    RECORD: lambda store: RunFolder(store).read_record(),
    journal.JOURNAL: journal.read_journal,
    f"{journal.RECEIPTS}/x.json": journal.read_receipts,
    manifest.NAME: manifest.read,
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_not_ours_is_named(tmp_path: Path, name: str) -> None:
    store = LocalStore(tmp_path)
    for content in [*NOT_JSON, *NOT_OURS]:
        store.write(name, content)
        with pytest.raises(OutputError, match="is damaged") as caught:
            READERS[name](store)
        assert f"{tmp_path}/{name}" in caught.value.message, content[:40]


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprints": []}, {"fingerprints": {"features": "x"}}, {"fingerprints": {"features": 1, "pca": 2}},
        {"features": "x"}, {"pca": [1]}, {"config": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_plan_of_wrong_types_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    whole = {"fingerprints": {"features": "x", "pca": "y"}, "features": {}, "pca": {}, "config": {}}
    store = LocalStore(tmp_path)
    store.write(PLAN, json.dumps(whole).encode())
    assert RunFolder(store).read_plan() is not None
    store.write(PLAN, json.dumps(whole | change).encode())
    with pytest.raises(OutputError, match="is damaged"):
        RunFolder(store).read_plan()


@pytest.mark.parametrize(
    "change",
    [
        {"salt": "no hex"}, {"salt": 1}, {"hashes": 5}, {"hashes": [[1]]}, {"files": ["x"]}, {"files": {"x": "y"}},
        {"files": {"/etc/passwd": 1}}, {"removed": ["../../photos/a.jpg"]}, {"removed": [1]}, {"id": "../../x"},
        {"record": {}}, {"record": None}, {"plan": 7},
    ],
)  # fmt: skip
def test_a_journal_of_wrong_types_or_of_names_outside_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    whole = {
        "id": "i", "time": "t", "refit": False, "salt": "00ff", "hashes": ["x"], "files": {"manifest.parquet": 1},
        "removed": ["report.html"], "plan": {}, "record": {"erased": 1},
    }  # fmt: skip
    store = LocalStore(tmp_path)
    store.write(journal.JOURNAL, json.dumps(whole).encode())
    assert journal.read_journal(store) is not None
    store.write(journal.JOURNAL, json.dumps(whole | change).encode())
    with pytest.raises(OutputError, match="is damaged") as caught:
        journal.read_journal(store)
    assert "overwrite" not in str(caught.value.hint)  # which would lose what must be erased


@pytest.mark.parametrize("columns", [{"path": ["a"]}, {"path": [1], "label": [1], "size": ["x"], "version": [None]}])
def test_a_manifest_with_other_columns_is_damaged(tmp_path: Path, columns: dict[str, list[Any]]) -> None:
    store = LocalStore(tmp_path)
    store.write(manifest.NAME, encode(pa.table(columns)))
    with pytest.raises(OutputError, match="is damaged"):
        manifest.read(store)
    manifest.write(manifest.build([Photo("a.jpg", None, 1, "v")]), store)
    assert manifest.read(store).num_rows == 1


def test_a_lock_that_is_not_ours_is_no_crash(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for content in [*NOT_JSON, *NOT_OURS]:
        store.write(NAME, content)
        with pytest.raises(OutputError, match="took over"):
            check_held(store, "ours")
        with locked(store, "ours"), pytest.raises(OutputError, match="Another run is writing"), locked(store, "x"):
            pass


def test_no_hint_destroys_a_run_on_s3() -> None:
    assert "overwrite" not in damage_hint("s3://bucket/run")
    assert "sign-in page" in damage_hint("s3://bucket/run")
    assert "same command again" in damage_hint("/runs/one")
    assert issubclass(OutputError, FruitscaleError)


def test_a_record_of_a_version_with_fewer_fields_is_intact() -> None:
    written = record(3, "photos").model_dump(mode="json", by_alias=True, exclude={"sha256"})
    del written["warnings"]  # as if a later version had added it
    checksum = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
    assert RunRecord.model_validate({**written, "sha256": checksum}).is_intact
    assert not RunRecord.model_validate({**written, "erased": 1, "sha256": checksum}).is_intact
    assert not RunRecord.model_validate({**written, "warnings": {}, "sha256": checksum}).is_intact
