"""Photos that were added, removed or replaced since a run are processed, and the features of all others are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fruitscale.runs import parts
from fruitscale.runs.parts import Part
from fruitscale.storage.store import LocalStore
from tests.conftest import QUICK, SLOW_ENGINES, Cli, part_bytes, take

RUN = [*QUICK, "--set", "shards.images=8"]
N = 64


@pytest.fixture
def source(photos: Path, tmp_path: Path) -> Path:
    return take(photos, tmp_path / "in", labels=4, each=N // 4)


def paths(source: Path) -> list[Path]:
    return sorted(source.rglob("*.jpg"))


def add(source: Path) -> None:
    first = paths(source)[0]
    shutil.copyfile(paths(source)[40], first.with_name("a-new-one.jpg"))


def remove(source: Path) -> None:
    paths(source)[20].unlink()


def replace(source: Path) -> None:
    shutil.copyfile(paths(source)[50], paths(source)[3])


def relabel(source: Path) -> None:
    folder = paths(source)[0].parent
    folder.rename(folder.with_name("Zebra Fruit"))


CHANGES: dict[str, tuple[Callable[[Path], None], int, int]] = {
    "added": (add, 65, 64),
    "removed": (remove, 63, 63),
    "replaced": (replace, 64, 63),
    "relabelled": (relabel, 64, 48),
}


@pytest.mark.parametrize(
    "change", ["added", "replaced", *(pytest.param(name, marks=pytest.mark.slow) for name in ("removed", "relabelled"))]
)
@pytest.mark.parametrize("engine", SLOW_ENGINES)
def test_only_changed_photos_are_processed(cli: Cli, engine: str, source: Path, tmp_path: Path, change: str) -> None:
    run, (edit, n_photos, n_kept) = tmp_path / "run", CHANGES[change]
    assert cli("run", "-e", engine, *RUN, "-i", source, "-o", run).code == 0
    edit(source)
    again = cli("run", "-e", engine, *RUN, "-i", source, "-o", run, "--json")
    assert again.record["images"] == {"featurized": n_photos, "rejected": 0, "resumed": n_kept}
    assert "the features of the other photos are kept" in again.err
    fresh = cli("run", "-e", engine, *RUN, "-i", source, "-o", tmp_path / "fresh", "--json")
    assert part_bytes(run) == part_bytes(tmp_path / "fresh")
    assert again.record["fingerprints"] == fresh.record["fingerprints"]
    verified = cli("run", "-e", engine, *RUN, "-i", source, "-o", run, "--json")
    assert verified.record == again.record


@pytest.mark.slow
def test_a_complete_run_keeps_photos_that_vanish_together(cli: Cli, source: Path, tmp_path: Path) -> None:
    """Half of a share may not be mounted."""
    run = tmp_path / "run"
    command = ["run", "-e", "local", *RUN, "-i", source, "-o", run]
    assert cli(*command).code == 0
    before = part_bytes(run)
    shutil.rmtree(paths(source)[0].parent)
    refused = cli(*command)
    assert refused.code == 1
    assert "16 of the 64 photos" in refused.err
    assert "input.max_removed_fraction" in refused.err
    assert part_bytes(run) == before
    meant = cli(*command, "--set", "input.max_removed_fraction=1", "--json")
    assert meant.record["images"] == {"featurized": 48, "rejected": 0, "resumed": 48}


def test_a_run_that_failed_by_its_rejects_keeps_its_work(cli: Cli, source: Path, tmp_path: Path) -> None:
    run, broken = tmp_path / "run", paths(source)[10]
    good = broken.read_bytes()
    broken.write_bytes(good[:500])
    arguments = ["run", "-e", "local", *RUN, "--set", "images.max_reject_fraction=0", "-i", source, "-o", run]
    failed = cli(*arguments)
    assert failed.code == 1
    assert "1 of 64 photos can't be used" in failed.err
    broken.write_bytes(good)
    record = cli(*arguments, "--json").record
    assert record["images"] == {"featurized": 64, "rejected": 0, "resumed": 63}
    assert cli("run", "-e", "local", *RUN, "-i", source, "-o", tmp_path / "fresh").code == 0
    assert part_bytes(run) == part_bytes(tmp_path / "fresh")


def test_other_photos_and_erased_ones_are_refused(cli: Cli, source: Path, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli("run", "-e", "local", *RUN, "-i", source, "-o", run).code == 0
    others = tmp_path / "others"
    for number, photo in enumerate(sorted(photos.rglob("*.jpg"))[:20]):
        (others / "All").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, others / "All" / f"other-{number}.jpg")
    refused = cli("run", "-e", "local", *RUN, "-i", others, "-o", run)
    assert refused.code == 1
    assert "holds another run" in refused.err
    erased = paths(source)[0].relative_to(source).as_posix()
    assert cli("erase", run, "--path", erased).code == 0
    refused = cli("run", "-e", "local", *RUN, "-i", source, "-o", run)
    assert refused.code == 1
    assert "1 photo was erased from it" in refused.err


def test_a_damaged_part_is_not_kept(cli: Cli, source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli("run", "-e", "local", *RUN, "-i", source, "-o", run).code == 0
    (run / "features" / "part-00002.parquet").write_bytes(b"garbage")
    remove(source)
    record = cli("run", "-e", "local", *RUN, "-i", source, "-o", run, "--json").record
    assert record["images"] == {"featurized": 63, "rejected": 0, "resumed": 63 - 7}
    assert cli("run", "-e", "local", *RUN, "-i", source, "-o", tmp_path / "fresh").code == 0
    assert part_bytes(run) == part_bytes(tmp_path / "fresh")


def test_a_forged_part_is_not_kept(cli: Cli, source: Path, tmp_path: Path) -> None:
    """Its own checksum is right, but not that of run.json."""
    run = tmp_path / "run"
    assert cli("run", "-e", "local", *RUN, "-i", source, "-o", run).code == 0
    store, name = LocalStore(run), "features/part-00002.parquet"
    part = parts.read_vectors(store, name, "features")
    parts.write_vectors(store, name, "features", Part(part.paths, part.labels, part.values + np.float32(1)))
    remove(source)
    record = cli("run", "-e", "local", *RUN, "-i", source, "-o", run, "--json").record
    assert record["images"] == {"featurized": 63, "rejected": 0, "resumed": 63 - 7}
    assert cli("run", "-e", "local", *RUN, "-i", source, "-o", tmp_path / "fresh").code == 0
    assert part_bytes(run) == part_bytes(tmp_path / "fresh")
