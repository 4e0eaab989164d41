"""fruitscale tune: a sample of real photos, real runs, and a config that `run` takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import QUICK, Cli, take

PATCHES = ["--set", "model.architecture=patch_mean", "--networks", "patch_mean", "--precisions", "f32", "--slots", "2"]


@pytest.fixture(scope="module")
def two_series(all_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos whose names are those of two series, as in Fruits-360."""
    source = take(all_photos, tmp_path_factory.mktemp("series") / "drawn", labels=4, each=24)
    target = source.with_name("in")
    for photo in sorted(source.rglob("*.jpg")):
        number = len(list((target / photo.parent.name).glob("*"))) if (target / photo.parent.name).exists() else 0
        name = f"{number}_100.jpg" if number < 12 else f"r_{number - 12}_100.jpg"
        (target / photo.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, target / photo.parent.name / name)
    return target


def test_a_config_is_recommended_and_runs(cli: Cli, two_series: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tune"
    given = tmp_path / "mine.yaml"
    given.write_text("# my photos\nmodel:\n  input_size: 128   # as before\n")
    command = ["tune", "-c", given, "-i", two_series, "-o", folder, *PATCHES, "--sizes", "32,64"]
    made = cli(*command)
    assert made.code == 0, made.err
    assert "nearest photos of another series, by the photos' names (#_100, r_#_100)" in made.err
    found = json.loads((folder / "tune.json").read_text())
    assert {row["candidate"]["input_size"] for row in found["rows"]} == {32, 64, 128}
    assert found["measure"] == "accuracy"
    best = found["recommended"]["candidate"]["input_size"]
    text = (folder / "tuned.yaml").read_text()
    assert "# my photos" in text
    assert yaml.safe_load(text)["model"]["input_size"] == best
    assert "tune.json" in (folder / "tune.html").read_text()
    ran = cli("run", "-e", "local", "-c", folder / "tuned.yaml", "-i", two_series, "-o", tmp_path / "run", "--json",
              "--set", "report=false")  # fmt: skip
    assert ran.record["model"]["input_size"] == best
    (folder / "tuned.yaml").write_text("engine: spark\n")
    refused = cli(*command)
    assert (refused.code, "was not written by fruitscale tune" in refused.err) == (1, True)
    assert (folder / "tuned.yaml").read_text() == "engine: spark\n"


def test_without_series_the_neighbours_are_compared(cli: Cli, photos: Path) -> None:
    made = cli("tune", "-i", photos, *PATCHES, "--sizes", "64", "--photos", "40", "--json")
    assert made.code == 0, made.err
    found = json.loads(made.out)
    assert found["measure"] == "agreement"
    assert found["reference"]["quality"] == 1.0
    assert found["rows"][0]["candidate"]["input_size"] == 64


def test_wrong_use(cli: Cli, photos: Path) -> None:
    for words, message in (
        (["--networks", "resnet5000"], "resnet5000 is unknown"),
        (["--sizes", "9"], "9 is no input size"),
        (["--precisions", "f8"], "f8 is unknown"),
        (["--series", "(", "--set", "model.architecture=patch_mean"], "not a regular expression"),
    ):
        made = cli("tune", "-i", photos, *words)
        assert made.code == 2, made.err
        assert message in made.err


@pytest.mark.slow
def test_real_candidates_with_test_photos(cli: Cli, two_series: Path, photos: Path) -> None:
    made = cli("tune", *QUICK, "-i", two_series, "--test", photos, "--sizes", "64,96", "--networks", "efficientnet_lite0",
               "--json", timeout=600)  # fmt: skip
    found = json.loads(made.out)
    assert found["how"] == f"nearest training photos of the photos in {photos}"
    assert {row["candidate"]["precision"] for row in found["rows"] + found["dropped"]} >= {"f32"}
