"""Reading runs as a table, and writing them for other programs."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import fruitscale
from fruitscale.errors import OutputError, UsageError
from fruitscale.sample import draw
from tests.conftest import Cli, edit_record
from tests.integration.erased import rows
from tests.integration.test_apply import QUICK_MODEL, settings


@pytest.fixture(scope="module")
def run_36(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 36 photos, one of which can't be used."""
    folder = tmp_path_factory.mktemp("read")
    source = draw(folder / "photos", classes=3, per_class=12).path
    (sorted(source.iterdir())[0] / "broken.jpg").write_bytes(b"no photo")
    fruitscale.run(settings(source, folder / "run", model=QUICK_MODEL))
    return folder / "run"


def test_a_run_is_an_arrow_table(run_36: Path) -> None:
    tables: dict[str, Any] = {
        "components": fruitscale.read(str(run_36)),
        "features": fruitscale.read(str(run_36), column="features"),
    }
    for column, place, width in (("components", "reduced", None), ("features", "features", 192)):
        table = tables[column]
        expected = rows(run_36, place)
        assert table.column_names == ["path", "label", column]
        assert table["path"].to_pylist() == list(expected)
        assert table["label"].to_pylist() == [path.split("/")[0] for path in expected]
        np.testing.assert_array_equal(np.stack(table[column].to_numpy()), np.stack(list(expected.values())))
        assert table[column].type == pa.list_(pa.float32(), width or len(next(iter(expected.values()))))


def test_pandas_is_had_on_request(run_36: Path) -> None:
    frame = fruitscale.read(str(run_36), pandas=True)
    assert list(frame.columns) == ["path", "label", "components"]
    np.testing.assert_array_equal(np.stack(list(frame["components"])), np.stack(list(rows(run_36, "reduced").values())))


def test_several_runs_are_one_table_when_they_are_comparable(run_36: Path, tmp_path: Path) -> None:
    again = str(shutil.copytree(run_36, tmp_path / "again"))
    table = fruitscale.read(str(run_36), again)
    assert table["run"].to_pylist() == [str(run_36)] * 36 + [again] * 36
    (tmp_path / "again" / "pca" / "pca.npz").write_bytes(b"another fit")
    sha256 = hashlib.sha256(b"another fit").hexdigest()
    edit_record(tmp_path / "again", lambda record: record["files"].update({"pca/pca.npz": sha256}))
    with pytest.raises(UsageError, match="different fits"):
        fruitscale.read(str(run_36), again)
    assert len(fruitscale.read(str(run_36), again, column="features")) == 72


def test_a_damaged_part_is_not_read(run_36: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_36, tmp_path / "copy")
    part = copy / "reduced" / "part-00001.parquet"
    table = pq.read_table(part)
    labels = pa.array(["another"] * len(table), pa.string())
    pq.write_table(table.set_column(1, table.schema.field("label"), labels), part)
    with pytest.raises(OutputError, match="damaged"):
        fruitscale.read(str(copy))


def test_csv_is_read_back(run_36: Path, tmp_path: Path) -> None:
    fruitscale.export(str(run_36), "csv", tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(newline="") as file:
        found = list(csv.reader(file))
    expected = rows(run_36, "reduced")
    width = len(next(iter(expected.values())))
    assert found[0] == ["path", "label", *(f"components_{i}" for i in range(width))]
    assert {row[0]: row[1] for row in found[1:]} == {path: path.split("/")[0] for path in expected}
    for row in found[1:]:
        np.testing.assert_array_equal(np.array(row[2:], np.float32), expected[row[0]])


def test_npz_and_parquet_are_read_back(run_36: Path, tmp_path: Path) -> None:
    expected = rows(run_36, "features")
    fruitscale.export(str(run_36), "npz", tmp_path / "run.npz", "features")
    with np.load(tmp_path / "run.npz", allow_pickle=False) as arrays:
        assert arrays["path"].tolist() == list(expected)
        np.testing.assert_array_equal(arrays["features"], np.stack(list(expected.values())))
    fruitscale.export(str(run_36), "parquet", tmp_path / "run.parquet", "features")
    assert pq.read_table(tmp_path / "run.parquet") == fruitscale.read(str(run_36), column="features")


def test_tensorboard_has_every_photo_in_its_place(run_36: Path, tmp_path: Path) -> None:
    done = fruitscale.export(str(run_36), "tensorboard", tmp_path / "projector")
    folder, expected = tmp_path / "projector", rows(run_36, "reduced")
    assert (done.rows, done.notes) == (36, ())
    np.testing.assert_array_equal(np.loadtxt(folder / "tensors.tsv", np.float32), np.stack(list(expected.values())))
    lines = (folder / "metadata.tsv").read_text().splitlines()
    assert lines == ["label\tpath", *(f"{path.split('/')[0]}\t{path}" for path in expected)]
    config = (folder / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "tensors.tsv"' in config
    assert "single_image_dim: 64 single_image_dim: 64" in config
    with Image.open(folder / "sprite.png") as sprite:
        page = np.asarray(sprite.convert("RGB")).astype(np.int16)
    assert page.shape == (6 * 64, 6 * 64, 3)
    for index, path in list(enumerate(expected))[::7]:
        with Image.open(run_36.parent / "photos" / path) as photo:
            small = np.asarray(photo.resize((64, 64), Image.Resampling.BOX)).astype(np.int16)
        top, left = (index // 6) * 64, (index % 6) * 64
        assert np.abs(page[top : top + 64, left : left + 64] - small).mean() < 6


def test_tensorboard_says_what_is_missing(run_36: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run_36.parent, moved, ignore=shutil.ignore_patterns("photos"))
    edit_record(moved / "run", lambda record: record["input"].update(uri=str(moved / "photos")))
    done = fruitscale.export(str(moved / "run"), "tensorboard", tmp_path / "projector")
    assert "none of the photos can be read" in done.notes[0]
    assert "sprite" not in (tmp_path / "projector" / "projector_config.pbtxt").read_text()


@pytest.mark.parametrize("to", ["tensorboard", "csv"])
def test_an_overwriting_export_removes_nothing_foreign(cli: Cli, run_36: Path, tmp_path: Path, to: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"mine")
    linked = tmp_path / "linked.csv"
    linked.symlink_to(folder / "holiday.jpg")
    run_copy = Path(shutil.copytree(run_36, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()}
    for target in (folder, run_copy, linked, Path("/dev/null")):
        ran = cli("export", run_copy, "--to", to, "-o", target, "--overwrite")
        assert ran.code == 1, target
        assert str(target) in ran.err
    assert (folder / "holiday.jpg").read_bytes() == b"mine"
    assert {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()} == before
    assert Path("/dev/null").is_char_device()


def test_an_export_for_tensorboard_is_replaced(cli: Cli, run_36: Path, tmp_path: Path) -> None:
    target = tmp_path / "projector"
    for more in ((), ("--overwrite",)):
        assert cli("export", run_36, "--to", "tensorboard", "-o", target, *more).code == 0
    assert {path.name for path in target.iterdir()} == {
        "tensors.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt",
    }  # fmt: skip


def test_an_export_replaces_nothing_unasked(cli: Cli, run_36: Path, tmp_path: Path) -> None:
    target = tmp_path / "there.csv"
    target.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        fruitscale.export(str(run_36), "csv", target)
    assert target.read_text() == "mine"
    assert cli("export", run_36, "--to", "csv", "-o", target, "--overwrite").out.startswith(f"{target}: 36 photos")
    with pytest.raises(UsageError, match="no format xls"):
        fruitscale.export(str(run_36), cast("Any", "xls"), tmp_path / "x")
