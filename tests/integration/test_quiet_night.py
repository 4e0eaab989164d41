"""A night without new photos: `apply` leaves an empty, complete run, which everything accepts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import fruitscale
from fruitscale import api
from fruitscale.errors import InputError, NothingNewError
from fruitscale.sample import draw
from tests.conftest import ENGINES, Cli
from tests.integration.erased import rows

MODEL = {"architecture": "patch_mean", "input_size": 64}


def settings(source: Path, target: Path, engine: str = "local", **more: Any) -> dict[str, Any]:
    where = {"input": {"uri": str(source)}, "output": {"uri": str(target)}}
    return {"engine": engine, "slots": 1, **where, **more}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("night") / "photos", classes=2, per_class=6).path


@pytest.fixture(scope="module")
def fitted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("night") / "fitted"
    fruitscale.run(settings(source, run, model=MODEL))
    return str(run)


@pytest.fixture
def quiet(fitted: str, source: Path, tmp_path: Path) -> str:
    """The run of a night without new photos."""
    fruitscale.apply(fitted, settings(source, tmp_path / "quiet"), [fitted])
    return str(tmp_path / "quiet")


def three_nights(source: Path, fitted: str, tmp_path: Path, engine: str) -> None:
    photos, known = shutil.copytree(source, tmp_path / "photos"), [fitted]
    arrived = [[5], [], [1, 2]]  # per night
    for night, new in enumerate(arrived):
        for n in new:
            shutil.copy(sorted(source.rglob("*.jpg"))[n], photos / f"night-{night}-{n}.jpg")
        run = tmp_path / f"night-{night}"
        record = fruitscale.apply(fitted, settings(photos, run, engine), list(known))
        assert (record.images.featurized, record.status) == (len(new), "complete")
        assert [path[:7] for path in rows(run, "reduced")] == [f"night-{night}"] * len(new)
        known.append(str(run))
    assert fruitscale.read(*known).num_rows == 12 + 3


def test_three_nights(source: Path, fitted: str, tmp_path: Path) -> None:
    three_nights(source, fitted, tmp_path, "local")


@pytest.mark.slow
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "local"])
def test_three_nights_on_each_engine(source: Path, fitted: str, tmp_path: Path, engine: str) -> None:
    three_nights(source, fitted, tmp_path, engine)


def test_everything_accepts_the_run_of_a_quiet_night(fitted: str, source: Path, quiet: str, tmp_path: Path) -> None:
    assert (Path(quiet) / "report.html").stat().st_size > 100_000
    assert api.report(quiet).endswith("/report.html")
    found = fruitscale.drift(fitted, quiet)
    assert (found.verdict, found.overall.new, found.labels) == ("no photos", 0, ())
    assert fruitscale.read(quiet, column="features").schema == fruitscale.read(fitted, column="features").schema
    for to in ("csv", "npz", "parquet", "tensorboard"):
        assert fruitscale.export(quiet, to, tmp_path / to).rows == 0
    with pytest.raises(InputError, match="has no photos"):
        fruitscale.evaluate(fitted, quiet)


def test_it_is_verified_and_repaired(fitted: str, source: Path, quiet: str) -> None:
    first = fruitscale.record(quiet)
    assert fruitscale.apply(fitted, settings(source, Path(quiet)), [fitted]) == first
    (Path(quiet) / "features/part-00000.parquet").unlink()
    assert fruitscale.apply(fitted, settings(source, Path(quiet)), [fitted]).files == first.files


def test_photos_that_come_late_replace_the_empty_run(fitted: str, source: Path, quiet: str, tmp_path: Path) -> None:
    photos = shutil.copytree(source, tmp_path / "photos")
    shutil.copy(next(source.rglob("*.jpg")), photos / "late.jpg")
    assert fruitscale.apply(fitted, settings(photos, Path(quiet)), [fitted]).images.featurized == 1


@pytest.mark.parametrize("content", [(), ("notes.txt", ".DS_Store")])
def test_an_empty_folder_is_a_quiet_night(fitted: str, tmp_path: Path, content: tuple[str, ...]) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in content:
        (inbox / name).write_text("a")
    assert fruitscale.apply(fitted, settings(inbox, tmp_path / "run"), [fitted]).input.images == 0
    with pytest.raises(InputError, match="no photos"):
        fruitscale.apply(fitted, settings(inbox, tmp_path / "other"))
    with pytest.raises(InputError, match="does not exist"):
        fruitscale.apply(fitted, settings(inbox / "missing", tmp_path / "other"), [fitted])


def test_a_fit_has_nothing_to_fit(fitted: str, source: Path, tmp_path: Path) -> None:
    given = settings(source, tmp_path / "run", model=MODEL)
    given["input"]["new_since"] = [fitted]
    with pytest.raises(NothingNewError, match="earlier runs have all 12 photos"):
        fruitscale.run(given)
    assert not (tmp_path / "run").exists()


def test_the_command_says_so(cli: Cli, fitted: str, source: Path, tmp_path: Path) -> None:
    arguments = ["apply", "--pca", fitted, "-e", "local", "-i", source, "-o", tmp_path / "run", "--new-since", fitted]
    nothing = "There is nothing new: earlier runs have all 12 photos."
    assert cli(*arguments, "--dry-run").out.splitlines()[0] == f"{nothing} The run would be empty, and complete."
    ran = cli(*arguments)
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"{nothing} The run is empty, and complete.")
    assert cli(*arguments, "--json").record["input"]["images"] == 0
    assert "no photos" in cli("drift", fitted, tmp_path / "run").out
