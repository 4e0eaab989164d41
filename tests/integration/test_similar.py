"""Nearest photos of a run: those of brute force, for photos of the run and for others, and the page that shows them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fruitscale
from fruitscale.cli import app
from fruitscale.errors import FruitscaleError, InputError, ModelError, UsageError
from fruitscale.runs.run_folder import RunFolder
from fruitscale.sample import draw
from fruitscale.search.run_search import By
from fruitscale.storage.store import LocalStore
from tests.integration.erased import rows
from tests.integration.test_apply import KEY, QUICK_MODEL, settings


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 photos of 3 labels, and one that can't be used."""
    folder = draw(tmp_path_factory.mktemp("similar") / "photos", classes=3, per_class=20).path
    (labels_of(folder)[0] / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def fitted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("fitted") / "run"
    fruitscale.run(settings(source, run, model=QUICK_MODEL))
    return run


def labels_of(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_dir())


def brute_force(run: Path, place: str, path: str) -> list[tuple[str, float]]:
    vectors = rows(run, place)
    own = vectors[path].astype(np.float64)
    apart = {other: float(np.linalg.norm(own - values)) for other, values in vectors.items() if other != path}
    return sorted(apart.items(), key=lambda item: (item[1], item[0]))


@pytest.mark.parametrize(("by", "place"), [("components", "reduced"), ("features", "features")])
def test_the_nearest_of_a_photo_of_the_run(fitted: Path, by: By, place: str) -> None:
    for path in list(rows(fitted, place))[::17]:
        found = fruitscale.similar(str(fitted), path, k=7, by=by)
        expected = brute_force(fitted, place, path)[:7]
        assert [photo.path for photo in found.photos] == [name for name, _ in expected]
        np.testing.assert_allclose([p.distance for p in found.photos], [d for _, d in expected], rtol=1e-12)
        assert (found.path, found.label, found.compared) == (path, path.split("/")[0], 59)
        assert found.photos[0].label == found.photos[0].path.split("/")[0]


@pytest.mark.parametrize("by", ["components", "features"])
def test_a_photo_that_is_not_in_the_run_goes_through_its_model(
    fitted: Path, source: Path, tmp_path: Path, by: By
) -> None:
    path = list(rows(fitted, "reduced"))[25]
    copy = shutil.copyfile(source / path, tmp_path / "elsewhere.jpg")
    found = fruitscale.similar(str(fitted), str(copy), by=by)
    assert found.path is None
    assert (found.photos[0].path, found.compared) == (path, 60)
    assert found.photos[0].distance < 1e-5
    assert [photo.path for photo in found.photos[1:]] == [name for name, _ in brute_force(
        fitted, "reduced" if by == "components" else "features", path)[:19]]  # fmt: skip


def test_more_neighbours_than_photos(fitted: Path) -> None:
    path = next(iter(rows(fitted, "reduced")))
    assert len(fruitscale.similar(str(fitted), path, k=500).photos) == 59


def test_what_can_not_be_looked_up(fitted: Path, source: Path, tmp_path: Path) -> None:
    path = next(iter(rows(fitted, "reduced")))
    with pytest.raises(InputError, match=f"Did you mean {re.escape(path)}"):
        fruitscale.similar(str(fitted), path.removesuffix("g"))
    reject = f"{labels_of(source)[0].name}/broken.jpg"
    with pytest.raises(InputError, match="is a reject"):
        fruitscale.similar(str(fitted), reject)
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(InputError, match="can't be used"):
        fruitscale.similar(str(fitted), str(tmp_path / "text.jpg"))
    with pytest.raises(UsageError, match="components or by features"):
        fruitscale.similar(str(fitted), path, by="labels")  # type: ignore[arg-type]
    for k in (0, 10**6):
        with pytest.raises(UsageError, match="number of neighbours"):
            fruitscale.similar(str(fitted), path, k=k)


def test_another_model_is_never_used(fitted: Path, source: Path, tmp_path: Path) -> None:
    other = shutil.copytree(fitted, tmp_path / "run")
    folder = RunFolder(LocalStore(other))
    record, plan = folder.read_record(), folder.read_plan()
    assert record is not None
    assert plan is not None
    changed = {"sha256": "0" * 64, "weights_sha256": "1" * 64}
    folder.write_record(record.model_copy(update={"model": record.model.model_copy(update=changed)}))
    photo = next(source.rglob("*.jpg"))
    outside = shutil.copyfile(photo, tmp_path / "outside.jpg")
    with pytest.raises(ModelError, match="is not the one of"):
        fruitscale.similar(str(other), str(outside))
    folder.write_record(record.model_copy(update={"model": record.model.model_copy(update={"sha256": "0" * 64})}))
    assert "other versions" in fruitscale.similar(str(other), str(outside)).notes[0]  # the weights are the run's


def test_the_command_and_its_page(fitted: Path, source: Path, tmp_path: Path) -> None:
    path, page = next(iter(rows(fitted, "reduced"))), tmp_path / "pages" / "similar.html"
    shown = CliRunner().invoke(app, ["similar", str(fitted), path, "--k", "4", "--page", str(page)])
    assert shown.exit_code == 0, shown.output
    found = json.loads(CliRunner().invoke(app, ["similar", str(fitted), path, "--k", "4", "--json"]).output)
    assert [photo["path"] for photo in found["photos"]] == [
        name for name, _ in brute_force(fitted, "reduced", path)[:4]
    ]
    assert all(photo["path"] in shown.output for photo in found["photos"])
    text = page.read_text()
    assert all(photo["path"] in text for photo in found["photos"])
    assert text.count('<img data-thumb="') == 5
    assert len(json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])["thumbs"]) == 5
    square = tmp_path / "square.png"
    Image.new("RGB", (40, 40), "red").save(square)
    fruitscale.similar(str(fitted), str(square), k=3, page=page)
    assert page.read_text().count('<img data-thumb="') == 4
    with pytest.raises(FruitscaleError, match="can't be written"):
        fruitscale.similar(str(fitted), path, page=tmp_path)


@pytest.mark.slow
def test_hashed_paths(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, page = tmp_path / "run", tmp_path / "similar.html"
    monkeypatch.setenv("FRUITSCALE_PATH_KEY", KEY)
    fruitscale.run(settings(source, run, model=QUICK_MODEL, output={"paths": "hashed"}))
    photo = labels_of(source)[1] / "0.jpg"
    photo = photo if photo.exists() else next(labels_of(source)[1].glob("*.jpg"))
    real = photo.relative_to(source).as_posix()
    found = fruitscale.similar(str(run), real, k=3, page=page)
    assert found.path is not None
    assert found.path in rows(run, "reduced")
    text = page.read_text()
    assert "data-thumb" not in text.split('id="data"')[0]
    assert photo.name not in text
    monkeypatch.delenv("FRUITSCALE_PATH_KEY")
    again = fruitscale.similar(str(run), found.path, k=3)  # as the tables have it
    assert again.photos == found.photos
    fruitscale.similar(str(run), str(photo), k=3, page=page)  # a file needs no key
    assert photo.name not in page.read_text()
    with pytest.raises(UsageError, match="FRUITSCALE_PATH_KEY is not set"):
        fruitscale.similar(str(run), real)
