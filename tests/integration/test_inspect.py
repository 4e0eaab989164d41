"""`fruitscale inspect` on photos with planted faults."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fruitscale
from fruitscale.cli import app
from fruitscale.errors import UsageError
from fruitscale.sample import draw
from tests.conftest import QUICK, Cli
from tests.integration.planting import Planted, plant
from tests.integration.test_apply import QUICK_MODEL, settings

MOST_FALSE = {"suspect_label": 0.02, "blurred": 0.02, "dark": 0.02, "outlier": 0.04}
"""Drawn photos of a label vary by chance, some a lot: more outliers than among real photos."""
PATCHES = {"architecture": "patch_mean"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planted]:
    """A folder with photos and their run."""
    folder = tmp_path_factory.mktemp("inspect")
    draw(folder / "photos", classes=4, per_class=24)
    faults = plant(folder / "photos", copies=6, wrong=2, blurred=2, dark=2, other=2)
    fruitscale.run(settings(folder / "photos", folder / "run", model=QUICK_MODEL))
    return folder, faults


def inspected(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["inspect", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_planted_faults_are_found(planted: tuple[Path, Planted], tmp_path: Path) -> None:
    folder, faults = planted
    out = inspected(folder / "run", "--test", folder / "run", "-o", tmp_path / "out", "--json")
    found = json.loads(out)
    of = {
        kind: {f["path"]: f for f in found["findings"] if f["kind"] == kind} for kind in ("copy", "dark", "test_copy")
    }
    assert set(of["dark"]) == faults.dark
    assert len(of["test_copy"]) == found["photos"]
    assert len(list(together(faults, found["findings"]))) >= 5
    page = (tmp_path / "out" / "inspect.html").read_text()
    assert all(path in page for path in faults.dark)
    listed = list(csv.DictReader((tmp_path / "out" / "without-dark.csv").read_text().splitlines()))
    assert len(listed) == found["photos"] - 2
    assert not faults.dark & {row["path"] for row in listed}
    screen = inspected(folder / "run", "--limit", "dark=0.01")
    assert "darker than 1%" in screen
    assert f"fruitscale erase {folder / 'run'} --path" in screen


def test_hashed_paths_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", "a key that is long enough for the tests")
    draw(tmp_path / "photos", classes=2, per_class=12)
    output = {"uri": str(tmp_path / "run"), "paths": "hashed"}
    fruitscale.run(settings(tmp_path / "photos", tmp_path / "run", model=QUICK_MODEL, output=output))
    screen = inspected(tmp_path / "run", "-o", tmp_path / "out", "--limit", "outlier_score=0.5")
    assert "hashes instead of paths" in screen
    page = (tmp_path / "out" / "inspect.html").read_text()
    assert '"thumbs":[]' in page
    assert "fruitscale erase" not in page


@pytest.mark.slow
def test_photos_without_labels_of_which_one_is_gone(planted: tuple[Path, Planted], tmp_path: Path) -> None:
    """Nothing is said about labels, and a run of other photos has no copies of them."""
    photos = sorted((planted[0] / "photos").rglob("*.jpg"))
    for name, some in (("run", photos[:12]), ("test", photos[-3:])):
        (tmp_path / f"{name}-photos").mkdir()
        for number, path in enumerate(some):
            shutil.copy(path, tmp_path / f"{name}-photos" / f"{number}.jpg")
        source = {"uri": str(tmp_path / f"{name}-photos"), "label": "none"}
        fruitscale.run(settings(tmp_path, tmp_path / name, model=PATCHES, input=source, pca={"components": 2}))
    (tmp_path / "run-photos" / "0.jpg").unlink()
    found = fruitscale.inspect(str(tmp_path / "run"), str(tmp_path / "test"))
    assert not found.of_kind("suspect_label")
    assert not found.of_kind("test_copy")
    assert any("1 of 12 photos can't be read" in note for note in found.notes)
    assert "dark" in found._repr_html_()


def test_a_wrong_output_is_refused_before_any_work(planted: tuple[Path, Planted], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in ("s3://bucket/out", tmp_path / "file"):
        with pytest.raises(UsageError, match="Give a folder"):
            CliRunner().invoke(app, ["inspect", str(tmp_path / "none"), "-o", str(output)], catch_exceptions=False)


@pytest.mark.slow
def test_nine_in_ten_planted_faults_are_found_with_few_others(cli: Cli, all_photos: Path, tmp_path: Path) -> None:
    shutil.copytree(all_photos, tmp_path / "photos")
    faults = plant(tmp_path / "photos", copies=60, wrong=15, blurred=12, dark=12, other=8)
    flags = ["--engine", "local", "-s", "model.input_size=224", "-i", tmp_path / "photos", "-o", tmp_path / "run"]
    assert cli("run", *QUICK, *flags).code == 0
    found = json.loads(cli("inspect", tmp_path / "run", "--json").out)
    assert len(list(together(faults, found["findings"]))) >= 54
    good = changed(faults)
    wanted_of = {"suspect_label": set(faults.wrong_labels), "blurred": faults.blurred, "dark": faults.dark}
    for kind, wanted in {**wanted_of, "outlier": faults.other}.items():
        paths = {f["path"] for f in found["findings"] if f["kind"] == kind}
        assert len(paths & wanted) >= 0.9 * len(wanted), kind
        assert len(paths - good) <= MOST_FALSE[kind] * found["photos"], kind


def changed(faults: Planted) -> set[str]:
    return faults.blurred | faults.dark | faults.other | {*faults.wrong_labels, *faults.copies, *faults.copies.values()}


def together(faults: Planted, findings: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the planted copies that are in one group with their original."""
    group = {name: f["of"] for f in findings if f["kind"] in ("copy", "equal_file") for name in (f["path"], f["of"])}
    return (copy for copy, original in faults.copies.items() if copy in group and group[copy] == group.get(original))
