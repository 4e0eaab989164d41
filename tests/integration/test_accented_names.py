"""Names with accents, as Macs and other systems encode them: they are warned of, found, and erased whole."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import fruitscale
from tests.conftest import Cli
from tests.integration.erased import RUN, check_counts, files_of, manifest_of, naming

NFC, NFD = (unicodedata.normalize(form, "Pêche") for form in ("NFC", "NFD"))
KEY = "the key that these tests hash paths with"


@pytest.fixture(scope="module")
def accented(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five labels, of which two look the same; each folder has names in both forms and a file that is no photo."""
    folder = tmp_path_factory.mktemp("accented") / "in"
    for label, source in zip((NFC, NFD, "Kiwi", "Poire", "Pomme"), sorted(photos.iterdir()), strict=False):
        (folder / label).mkdir(parents=True)
        for number, photo in enumerate(sorted(source.glob("*.jpg"))[:12]):
            name = unicodedata.normalize(("NFC", "NFD")[number % 2], f"été-{number:02}.jpg")
            shutil.copyfile(photo, folder / label / name)
    (folder / NFD / "cassé.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def made(cli: Cli, accented: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("made") / "run"
    ran = cli("run", *RUN, "-i", accented, "-o", run)
    assert ran.code == 0, ran.err
    assert ran.err.count("Warning: ") == 1
    assert "Labels that look the same" in ran.err
    assert NFC in ran.err
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


@pytest.mark.parametrize("given", [NFC, NFD], ids=["NFC", "NFD"])
@pytest.mark.parametrize("how", ["--label", pytest.param("--matching", marks=pytest.mark.slow)])
def test_both_folders_leave_no_trace(cli: Cli, run: Path, given: str, how: str) -> None:
    gone = {path for path, label in manifest_of(run).items() if label in (NFC, NFD)}
    assert len(gone) == 25
    assert naming(files_of(run), [NFC]) and naming(files_of(run), [NFD])
    ran = cli("erase", run, how, given if how == "--label" else f"{given}/**", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["photos"] == len(gone)
    assert naming(files_of(run), [NFC, NFD, *gone]) == set()
    assert set(check_counts(run)["images"].values()) == {36, 0}


def test_a_path_in_either_form_is_found(cli: Cli, run: Path) -> None:
    before = manifest_of(run)
    for path in (unicodedata.normalize("NFC", "Kiwi/été-01.jpg"), unicodedata.normalize("NFD", "Kiwi/été-02.jpg")):
        assert cli("erase", run, "--path", path).code == 0
    left = manifest_of(run)
    assert len(left) == len(before) - 2
    assert not [path for path in left if path.startswith("Kiwi") and path.endswith(("-01.jpg", "-02.jpg"))]
    check_counts(run)


def test_hashed_paths_are_found_in_every_form(cli: Cli, accented: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ran = cli("run", *RUN, "--set", "output.paths=hashed", "-i", accented, "-o", run, FRUITSCALE_PATH_KEY=KEY)
    assert ran.code == 0, ran.err
    asked = [arg for number in range(12) for arg in ("--path", f"{NFC}/été-{number:02}.jpg")]
    done = cli("erase", run, *asked, "--json", FRUITSCALE_PATH_KEY=KEY)
    assert done.code == 0, done.err
    assert json.loads(done.out)["photos"] == 24  # of both folders
    assert len(manifest_of(run)) == 61 - 24
    check_counts(run)


def test_an_erased_photo_is_not_new_in_another_form(accented: Path, run: Path, tmp_path: Path) -> None:
    from fruitscale.runs.history import RunHistory
    from fruitscale.storage.listing import Photo
    from fruitscale.storage.residency import StorageAccess

    fruitscale.erase(str(run), label=NFD)
    history = RunHistory.by([str(run)], StorageAccess(), on_s3=False)
    listed = [Photo(f"{label}/été-01.jpg", label, 1, "another version") for label in (NFC, NFD, "Prune")]
    assert [photo.label for photo in history.leave_out(listed)] == ["Prune"]


def test_a_dry_run_warns_of_labels_that_look_the_same(cli: Cli, accented: Path, tmp_path: Path) -> None:
    shown = cli("run", *RUN, "-i", accented, "-o", tmp_path / "run", "--dry-run", "--json")
    [warning] = json.loads(shown.out)["warnings"]
    assert "Labels that look the same" in warning
    assert not (tmp_path / "run").exists()


def test_an_evaluation_takes_them_for_one_label(accented: Path, made: Path, tmp_path: Path) -> None:
    for run in (made, shutil.copytree(made, tmp_path / "other")):
        found = fruitscale.evaluate(str(run), str(made))
        assert found.labels == 4
        assert not any("labels that the run lacks" in note for note in found.notes)
    drift = fruitscale.drift(str(made), str(made))
    assert {one.label for one in drift.labels} == {NFC, "Kiwi", "Poire", "Pomme"}
    assert np.isfinite(drift.overall.error)
