"""Photos with a harmless fault are read and counted; a phone's folder is read whole."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fruitscale.runs import parts
from fruitscale.storage.store import LocalStore
from tests.conftest import QUICK, SLOW_ENGINES, SLOWER, Cli, take
from tests.unit.jpeg_files import after_jfif, before_end

STRAY = "stray bytes between segments or before the end"
PROFILE = "an incomplete colour profile"


@pytest.fixture(scope="module")
def source(all_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """24 photos; two with stray bytes, one with a broken colour profile."""
    folder = take(all_photos, tmp_path_factory.mktemp("warned") / "in", labels=3, each=8)
    first, second, third, *_ = photos = sorted(folder.rglob("*.jpg"))
    assert len(photos) == 24
    first.write_bytes(before_end(first.read_bytes(), bytes(20)))
    second.write_bytes(after_jfif(second.read_bytes(), b"\1\2\3\4"))
    profile = b"\xff\xe2\x00\x10ICC_PROFILE\0\1\2"
    third.write_bytes(after_jfif(third.read_bytes(), profile))
    return folder, [str(path.relative_to(folder)) for path in (first, second, third)]


@pytest.mark.parametrize("engine", SLOW_ENGINES)
def test_they_are_read_and_counted_by_fault(
    cli: Cli, source: tuple[Path, list[str]], tmp_path: Path, engine: str
) -> None:
    folder, warned = source
    run = tmp_path / "run"
    arguments = ["run", "-e", engine, *SLOWER, "-i", folder, "-o", run, "--json"]
    record = cli(*arguments).record
    assert record["images"] == {"featurized": 24, "rejected": 0, "resumed": 0}
    assert record["warnings"] == {PROFILE: 1, STRAY: 2}
    part = parts.read_vectors(LocalStore(run), parts.name("features", 0), "features")
    assert {part.paths[row]: fault for row, fault in part.warnings.items()} == dict(
        zip(warned, (STRAY, STRAY, PROFILE), strict=True)
    )
    assert "2: stray bytes" in cli("show", run).out
    (run / "run.json").unlink()
    assert cli(*arguments).record["warnings"] == record["warnings"]  # of the parts that were kept


def test_an_erasure_takes_the_warning_with_the_photo(cli: Cli, source: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, warned = source
    run = tmp_path / "run"
    assert cli("run", "-e", "local", *QUICK, "-i", folder, "-o", run).code == 0
    assert cli("erase", run, "--path", warned[0]).code == 0
    part = parts.read_vectors(LocalStore(run), parts.name("features", 0), "features")
    assert [(part.paths[row], fault) for row, fault in sorted(part.warnings.items())] == [
        (warned[1], STRAY),
        (warned[2], PROFILE),
    ]
    footer = pq.read_metadata(run / parts.name("features", 0)).metadata[parts.WARNINGS]
    assert json.loads(footer) == {"0": STRAY, "1": PROFILE}
