"""What a run holds on one photo, and its copies under other names: all of it, to be read and to be erased."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fruitscale
from fruitscale.cli import app
from fruitscale.errors import InputError, UsageError
from fruitscale.gdpr.access_document import access_document
from fruitscale.gdpr.photo_access import photo_access
from fruitscale.runs.manifest import PRIVATE
from fruitscale.sample import draw
from tests.integration.erased import files_of, manifest_of, naming, rows
from tests.integration.test_apply import KEY, QUICK_MODEL, settings

VISITOR = "Lemon | *x*/visitor-17.jpg"
COPIES = {"again.jpg": "looks the same", "larger.png": "looks the same", "same.jpg": "equal features"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 photos; a visitor's, with three copies; and one that can't be used."""
    folder = draw(tmp_path_factory.mktemp("access") / "photos", classes=3, per_class=10).path
    photo = next(draw(tmp_path_factory.mktemp("visitor") / "one", classes=1, per_class=1, seed=8).path.rglob("*.jpg"))
    visitor = folder / VISITOR
    visitor.parent.mkdir()
    shutil.copy(photo, visitor)
    (folder / "Others").mkdir()
    shutil.copy(photo, folder / "Others" / "same.jpg")
    with Image.open(photo) as picture:
        picture.save(folder / "Others" / "again.jpg", quality=90)
        picture.resize((150, 150)).save(folder / "Others" / "larger.png")
    (folder / "Others" / "visitor-broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def intact(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "run"
    fruitscale.run(settings(source, run, model=QUICK_MODEL))
    return run


@pytest.fixture
def run(intact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(intact, tmp_path / "run")


def test_it_names_every_file_that_holds_something(run: Path) -> None:
    for path in (VISITOR, "Others/visitor-broken.jpg"):
        found = photo_access(str(run), path)
        listed = {name for item in found.held for name in item.file.split(", ")} - {"pca/pca.npz", "pca/pca.json"}
        assert listed == naming(files_of(run), [path.rsplit("/", 1)[1]])


def test_the_values_are_the_run_s(run: Path) -> None:
    found = photo_access(str(run), VISITOR)
    np.testing.assert_array_equal(np.array(found.features, np.float32), rows(run, "features")[VISITOR])
    np.testing.assert_array_equal(np.array(found.components, np.float32), rows(run, "reduced")[VISITOR])
    assert (found.label, found.reject, found.is_hashed) == ("Lemon | *x*", None, False)
    assert found.input_state == "still there under this name"
    broken = photo_access(str(run), "Others/visitor-broken.jpg")
    assert str(broken.reject).startswith("not an image")
    assert broken.features == broken.components == ()


def test_the_document(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "access.md"
    words = ["gdpr", "access", str(run), "--path", VISITOR, "--output", str(target)]
    assert CliRunner().invoke(app, words).exit_code == 0
    text = target.read_text()
    assert "| Photo | Lemon &#124; \\*x\\*/visitor-17.jpg |" in text
    numbers = " ".join(text.split("```text")[1].split("```")[0].split())
    assert np.array_equal(np.array(numbers.split(), np.float32), rows(run, "features")[VISITOR])
    assert f"fruitscale erase {run} --path '{VISITOR}' --refit" in text
    assert "legal basis" in text
    assert CliRunner().invoke(app, words).exit_code != 0  # the file exists
    told = json.loads(CliRunner().invoke(app, [*words[:-2], "--json"]).output)
    assert told["stored_as"] == VISITOR


def test_after_an_erasure_only_a_salted_hash_is_left(run: Path) -> None:
    fruitscale.erase(str(run), [VISITOR])
    found = photo_access(str(run), VISITOR)
    assert found.erased
    assert [item.file for item in found.held] == ["_run/erasures/"]
    assert "was erased" in access_document(found)
    with pytest.raises(InputError, match="has no photo"):
        photo_access(str(run), "Others/never.jpg")


def test_hashed_paths(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = str(tmp_path / "run")
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", KEY)
    fruitscale.run(settings(source, tmp_path / "run", model=QUICK_MODEL, output={"paths": "hashed"}))
    found = photo_access(run, VISITOR)
    assert found.stored_as in rows(tmp_path / "run", "features")
    assert found.input_state == "still there under this name"
    assert found.stored_as in access_document(found)
    assert PRIVATE not in {item.file for item in found.held}
    copies = fruitscale.copies_of(run, VISITOR)
    assert {copy.why for copy in copies.copies} == {"the photo itself", "equal features"}
    assert "hashes instead of paths" in copies.notes[0]
    assert fruitscale.erase(run, [copy.path for copy in copies.copies]).photos == 2  # by their stored names
    assert photo_access(run, VISITOR).erased
    monkeypatch.delenv("FRUITSCALE_PATH_KEY")
    with pytest.raises(UsageError, match="FRUITSCALE_PATH_KEY is not set"):
        photo_access(run, VISITOR)


def test_copies_are_found_under_other_names(run: Path, source: Path, tmp_path: Path) -> None:
    found = fruitscale.copies_of(str(run), VISITOR)
    expected = {f"Others/{name}": why for name, why in COPIES.items()}
    assert {copy.path: copy.why for copy in found.copies} == {VISITOR: "the photo itself", **expected}
    outside = shutil.copy(source / VISITOR, tmp_path / "mine.jpg")
    of_a_file = fruitscale.copies_of(str(run), str(outside))
    assert {copy.path: copy.why for copy in of_a_file.copies} == {VISITOR: "equal features", **expected}
    assert of_a_file.notes == ("1 of 35 photos can't be read again, so their pictures were not compared",)


def test_erasing_like_a_photo_lists_first_and_needs_consent(run: Path) -> None:
    words = ["erase", str(run), "--like", VISITOR]
    listed = CliRunner().invoke(app, words)
    assert isinstance(listed.exception, UsageError)
    assert all(f"Others/{name} ({why})" in listed.stderr for name, why in COPIES.items())
    assert CliRunner().invoke(app, [*words, "--dry-run"]).exit_code == 0
    assert len(manifest_of(run)) == 35
    done = CliRunner().invoke(app, [*words, "--yes", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["photos"] == len(told["copies"]) == 4
    assert naming(files_of(run), ["visitor-17", *COPIES]) == set()
    with pytest.raises(InputError, match="has no photo"):
        fruitscale.copies_of(str(run), VISITOR)


def test_like_stands_alone(run: Path) -> None:
    refused = CliRunner().invoke(app, ["erase", str(run), "--like", VISITOR, "--label", "Others"])
    assert isinstance(refused.exception, UsageError)
