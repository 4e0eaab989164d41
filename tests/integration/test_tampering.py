"""A complete or unfinished run whose files were changed is found out, and repaired or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fruitscale.errors import FruitscaleError
from fruitscale.runs import parts
from fruitscale.runs.parts import Part
from fruitscale.runs.reader import open_complete
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import LocalStore
from tests.conftest import QUICK, Cli, part_bytes, take

RUN = ["-e", "local", *QUICK, "--set", "shards.images=8"]
Tampering = Callable[[Path], object]
FEATURES, SCORES = "features/part-{:05d}.parquet", "reduced/part-{:05d}.parquet"


def replaced(name: str, content: bytes) -> Tampering:
    return lambda run: (run / name).write_bytes(content)


def cut(name: str) -> Tampering:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-7])


def flipped(name: str) -> Tampering:
    def flip(run: Path) -> None:
        content = bytearray((run / name).read_bytes())
        content[len(content) // 2] ^= 1
        (run / name).write_bytes(content)

    return flip


def missing(name: str) -> Tampering:
    return lambda run: (run / name).unlink()


def copied(source: str, target: str) -> Tampering:
    return lambda run: shutil.copyfile(run / source, run / target)


def swapped(one: str, two: str) -> Tampering:
    def swap(run: Path) -> None:
        first, second = (run / one).read_bytes(), (run / two).read_bytes()
        (run / one).write_bytes(second)
        (run / two).write_bytes(first)

    return swap


def forged(name: str, column: str, change: Callable[[Part], Part]) -> Tampering:
    """Write a part with other content and a valid checksum in its footer."""

    def forge(run: Path) -> None:
        store = LocalStore(run)
        parts.write_vectors(store, name, column, change(parts.read_vectors(store, name, column)))

    return forge


def recorded(key: str, value: object) -> Tampering:
    def change(run: Path) -> None:
        record = json.loads((run / "run.json").read_text())
        record[key] = value
        (run / "run.json").write_text(json.dumps(record))

    return change


def more(part: Part) -> Part:
    return Part(part.paths, part.labels, part.values + np.float32(1), part.rejects)


def one_less(part: Part) -> Part:
    return Part(part.paths[1:], part.labels[1:], part.values[1:], part.rejects)


def relabelled(part: Part) -> Part:
    return Part(part.paths, ["Fake"] * len(part.paths), part.values, part.rejects)


TABLES = ("manifest.parquet", "rejects.parquet", "pca/pca.npz", "pca/pca.json", "_run/plan.json", "run.json")
BOTH: dict[str, Tampering] = {
    "features cut": cut(FEATURES.format(1)),
    "features flipped": flipped(FEATURES.format(1)),
    "features missing": missing(FEATURES.format(1)),
    "features empty": replaced(FEATURES.format(1), b""),
    "features swapped": swapped(FEATURES.format(0), FEATURES.format(1)),
    "features copied": copied(FEATURES.format(0), FEATURES.format(1)),
    "features one row less": forged(FEATURES.format(1), "features", one_less),
    "features relabelled": forged(FEATURES.format(1), "features", relabelled),
    "features extra": copied(FEATURES.format(0), FEATURES.format(99)),
    "rejects of a part missing": missing("_run/rejects/part-00000.parquet"),
    "rejects of a part garbage": replaced("_run/rejects/part-00000.parquet", b"garbage"),
    "rejects of a part extra": copied("_run/rejects/part-00000.parquet", "_run/rejects/part-00002.parquet"),
}
COMPLETE: dict[str, Tampering] = {
    **BOTH,
    **{f"{name} empty": replaced(name, b"") for name in TABLES},
    **{f"{name} garbage": replaced(name, b"garbage") for name in TABLES},
    **{f"{name} missing": missing(name) for name in TABLES},
    "manifest flipped": flipped("manifest.parquet"),
    "components flipped": flipped("pca/pca.npz"),
    "components of another fit": lambda run: np.savez(run / "pca" / "pca.npz", mean=np.zeros(3)),
    "features forged": forged(FEATURES.format(1), "features", more),
    "scores forged": forged(SCORES.format(1), "components", more),
    "scores swapped": swapped(SCORES.format(0), SCORES.format(1)),
    "scores copied": copied(SCORES.format(0), SCORES.format(1)),
    "scores missing": missing(SCORES.format(2)),
    "scores extra": copied(SCORES.format(0), SCORES.format(99)),
    "record's counts": recorded("images", {"featurized": 1, "rejected": 0, "resumed": 0}),
    "record's files": recorded("files", {"../../etc/passwd": "0" * 64}),
    "record's id": recorded("id", "another"),
}
QUICKLY = (
    "features swapped",
    "features extra",
    "pca/pca.npz garbage",
    "run.json garbage",
    "record's counts",
    "_run/plan.json empty",
)


def some(tamperings: dict[str, Tampering]) -> list[object]:
    return [pytest.param(name, marks=() if name in QUICKLY else pytest.mark.slow) for name in tamperings]


@pytest.fixture(scope="module")
def source(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = take(photos, tmp_path_factory.mktemp("source") / "in", labels=4, each=8)
    sorted(folder.rglob("*.jpg"))[0].write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def complete(cli: Cli, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("complete") / "run"
    made = cli("run", *RUN, "-i", source, "-o", run)
    assert made.code == 0, made.err
    return run


@pytest.fixture
def run(complete: Path, tmp_path: Path) -> Path:
    return shutil.copytree(complete, tmp_path / "run")


def tables(run: Path) -> dict[str, bytes]:
    """Everything that is the same in every run of the same photos."""
    names = ("manifest.parquet", "rejects.parquet", "pca/pca.npz", "pca/pca.json")
    return {name: (run / name).read_bytes() for name in names} | part_bytes(run)


@pytest.mark.parametrize("name", some(COMPLETE))
def test_a_tampered_run_is_repaired(cli: Cli, source: Path, complete: Path, run: Path, name: str) -> None:
    COMPLETE[name](run)
    again = cli("run", *RUN, "-i", source, "-o", run)
    assert again.code == 0, again.err
    if name != "run.json missing":
        assert "The run in the output is repaired" in again.err
    assert tables(run) == tables(complete)
    open_complete(str(run), StorageAccess(None))
    verified = cli("run", *RUN, "-i", source, "-o", run)
    assert "repaired" not in verified.err


@pytest.mark.parametrize("name", some(BOTH))
def test_a_tampered_half_is_repaired(cli: Cli, source: Path, complete: Path, run: Path, name: str) -> None:
    (run / "run.json").unlink()
    BOTH[name](run)
    again = cli("run", *RUN, "-i", source, "-o", run)
    assert again.code == 0, again.err
    if "extra" not in name:
        assert "features/part-0000" in again.err or "missing" in name
    assert tables(run) == tables(complete)


READ = {
    "features swapped": "features",
    "features forged": "features",
    "scores forged": "components",
    "scores copied": "components",
    "features missing": "features",
    "run.json garbage": "components",
    "record's counts": "components",
}


@pytest.mark.parametrize("name", READ)
def test_a_tampered_run_is_not_read(run: Path, name: str) -> None:
    import fruitscale

    COMPLETE[name](run)
    with pytest.raises(FruitscaleError, match=r"damaged|does not exist") as raised:
        fruitscale.read(str(run), column=READ[name])  # type: ignore[call-overload]
    assert "Run the same command again" in (raised.value.hint or "")


@pytest.mark.parametrize("extra", ["features extra", "scores extra"])
def test_a_part_of_another_run_is_not_read(run: Path, extra: str) -> None:
    import fruitscale

    column = "features" if extra.startswith("features") else "components"
    expected = fruitscale.read(str(run), column=column)  # type: ignore[call-overload]
    COMPLETE[extra](run)
    assert fruitscale.read(str(run), column=column).equals(expected)  # type: ignore[call-overload]


def test_components_that_are_not_the_records_are_not_applied(
    cli: Cli, source: Path, complete: Path, run: Path, tmp_path: Path
) -> None:
    COMPLETE["components of another fit"](run)
    applied = cli("apply", "-e", "local", *QUICK, "--pca", run, "-i", source, "-o", tmp_path / "applied")
    assert applied.code == 1
    assert "pca.npz is damaged" in applied.err.replace("\n", " ")
    assert not (tmp_path / "applied").exists()
