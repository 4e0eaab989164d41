"""Evaluating what PCA kept, and the drift of new photos: the figures are those that anyone would compute by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import fruitscale
from fruitscale.cli import app
from fruitscale.errors import InputError, ModelError, UsageError
from fruitscale.kernels.moments import Components
from fruitscale.sample import draw
from tests.conftest import edit_record
from tests.integration.erased import rows
from tests.integration.test_apply import QUICK_MODEL, settings

Rows = tuple[NDArray[np.float64], list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of 120 and of 60 photos of the same 6 fruits, and one of noise."""
    folder = tmp_path_factory.mktemp("evaluation")
    for name, each, seed in (("train", 20, 0), ("test", 10, 1)):
        draw(folder / f"photos-{name}", classes=6, per_class=each, seed=seed)
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 256, (100, 100, 3)).astype(np.uint8)
        path = folder / "photos-noise" / "noise" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(path)
    for name, components in (("train", 0.99), ("test", 0.99), ("noise", 5)):
        source, pca = folder / f"photos-{name}", {"components": components}
        fruitscale.run(settings(source, folder / name, model=QUICK_MODEL, pca=pca))
    return folder


def vectors(run: Path, place: str = "features") -> Rows:
    found = rows(run, place)
    return np.stack(list(found.values())).astype(np.float64), [path.split("/")[0] for path in found]


def accuracy(train: Rows, test: Rows) -> float:
    """Of 5 nearest neighbours, by hand: the most frequent label, among equals the first in the alphabet."""
    right = 0
    for values, label in zip(*test, strict=True):
        nearest = np.argsort(((train[0] - values) ** 2).sum(axis=1), kind="stable")[:5]
        counts = Counter(train[1][i] for i in nearest)
        right += label == min(counts, key=lambda name: (-counts[name], name))
    return right / len(test[1])


def projected(run: Path, of: Path, k: int) -> Rows:
    fitted = Components.from_bytes((run / "pca" / "pca.npz").read_bytes())
    values, labels = vectors(of)
    return (values - fitted.mean) @ fitted.components[:k].T, labels


def test_accuracies_are_those_computed_by_hand(folder: Path) -> None:
    train, test = folder / "train", folder / "test"
    found = fruitscale.evaluate(str(train), str(test))
    assert (found.train_images, found.test_images, found.labels, found.width) == (120, 60, 6, 192)
    assert found.full.accuracy == pytest.approx(accuracy(vectors(train), vectors(test)))
    for point in found.points[::3]:
        k = point.components
        assert point.accuracy == pytest.approx(
            accuracy(projected(train, train, k), projected(train, test, k)), abs=1 / 60
        )
    assert found.points[-1].components == found.chosen
    assert found.full.accuracy > found.points[0].accuracy > 1 / 6  # more is better, and both are better than chance


def test_enough_is_the_fewest_within_one_point(folder: Path) -> None:
    found = fruitscale.evaluate(str(folder / "train"), str(folder / "test"))
    near = {point.components for point in found.points if point.accuracy >= found.full.accuracy - 0.0100001}
    assert found.enough == min(near)
    tried = {point.components for point in found.points}
    assert set(range(1, found.enough + 1)) <= tried  # none before it was left out


def test_raw_pixels_are_compared_where_they_can_be_read(folder: Path, tmp_path: Path) -> None:
    found = fruitscale.evaluate(str(folder / "train"), str(folder / "test"))
    assert found.pixels is not None
    assert 1 / 6 < found.pixels.accuracy <= 1
    copy = shutil.copytree(folder / "test", tmp_path / "test")
    edit_record(copy, lambda record: record["input"].update(uri=str(tmp_path / "gone")))
    without = fruitscale.evaluate(str(folder / "train"), str(copy))
    assert without.pixels is None
    assert any("60 of 60 photos can't be read again" in note for note in without.notes)
    assert without.points == found.points


def test_shared_frames_and_pictures_are_told(folder: Path) -> None:
    train, test = str(folder / "train"), str(folder / "test")
    [note] = fruitscale.evaluate(train, test).notes
    assert "60 of 60 test photos may, by their names, be frames of the same turning fruit" in note
    same, _ = fruitscale.evaluate(train, train).notes
    assert "120 of 120 test photos are in the training run too" in same


def test_copies_are_told_though_their_names_and_bytes_differ(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "photos"
    for number, photo in enumerate(sorted((folder / "photos-train").rglob("*.jpg"))[::10]):
        (source / photo.parent.name).mkdir(parents=True, exist_ok=True)
        with Image.open(photo) as image:
            size = (image.width * 9 // 10, image.height * 9 // 10)
            copy = image.resize(size) if number % 2 else image
            copy.save(source / photo.parent.name / f"holiday {number}.jpg", quality=80)
    fruitscale.run(settings(source, tmp_path / "copies", model=QUICK_MODEL, pca={"components": 2}))
    notes = fruitscale.evaluate(str(folder / "train"), str(tmp_path / "copies")).notes
    assert [note for note in notes if re.search(r"\d+ of 12 test photos look the same as a training photo", note)], (
        notes
    )
    assert not [note for note in notes if "picture for picture" in note or "frames" in note]


def test_there_is_no_verdict_without_a_label_in_common(folder: Path, tmp_path: Path) -> None:
    found = fruitscale.evaluate(str(folder / "train"), str(folder / "noise"))
    assert (found.common_labels, found.enough, found.full.accuracy) == (0, None, 0)
    assert found.no_verdict is not None
    out = printed("evaluate", folder / "train", folder / "noise", "--plot", tmp_path / "page.html")
    assert "No verdict: the runs have no label in common" in out
    assert "components are enough" not in out
    one = fruitscale.evaluate(str(folder / "noise"), str(folder / "noise"))
    assert one.enough is None
    assert "all photos of the run have the same label (noise)" in str(one.no_verdict)


def printed(*arguments: object) -> str:
    """Return what a command prints, without a process of its own: scikit-learn and Bokeh are here already."""
    ran = CliRunner().invoke(app, [*map(str, arguments)])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_the_command_prints_a_table_and_writes_a_page(folder: Path, tmp_path: Path) -> None:
    train, test, page = folder / "train", folder / "test", tmp_path / "out" / "evaluation.html"
    out = printed("evaluate", train, test, "--plot", page)
    for text in (
        "raw pixels",
        "all 192 features",
        "enough",
        "chosen",
        "Note: 60 of 60 test photos may, by their names",
    ):
        assert text in out
    html = page.read_text()
    assert "Bokeh" in html
    assert not re.search(r'<(script|link)[^>]+(src|href)="http', html)  # it works without a network
    found = json.loads(printed("evaluate", train, test, "--json"))
    assert found["full"]["accuracy"] == fruitscale.evaluate(str(train), str(test)).full.accuracy


def test_what_cannot_be_evaluated_is_told(folder: Path, tmp_path: Path) -> None:
    small = {**QUICK_MODEL, "input_size": 32}
    fruitscale.run(settings(folder / "photos-noise", tmp_path / "small", model=small, pca={"components": 2}))
    with pytest.raises(ModelError, match=r"model\.input_size was 64, is 32"):
        fruitscale.evaluate(str(folder / "train"), str(tmp_path / "small"))
    unlabelled = settings(folder / "photos-noise", tmp_path / "unlabelled", model=QUICK_MODEL, pca={"components": 2})
    unlabelled["input"]["label"] = "none"
    fruitscale.run(unlabelled)
    with pytest.raises(InputError, match="without a label"):
        fruitscale.evaluate(str(folder / "train"), str(tmp_path / "unlabelled"))
    assert fruitscale.drift(str(folder / "train"), str(tmp_path / "unlabelled")).labels[0].label is None


def test_drift_is_nothing_between_a_run_and_itself(folder: Path) -> None:
    found = fruitscale.drift(str(folder / "train"), str(folder / "train"))
    assert found.verdict == "small"
    assert (found.overall.shift, found.overall.error) == (0, 1)
    assert 0 < found.overall.beyond <= 0.02
    assert {one.label: (one.fitted, one.new, one.shift, one.error) for one in found.labels} == {
        path.name: (20, 20, 0, 1) for path in (folder / "photos-train").iterdir()
    }


def test_drift_is_computed_as_it_says(folder: Path) -> None:
    fitted = Components.from_bytes((folder / "train" / "pca" / "pca.npz").read_bytes())
    found = fruitscale.drift(str(folder / "train"), str(folder / "noise"))
    scores, errors = {}, {}
    for name in ("train", "noise"):
        centred = vectors(folder / name)[0] - fitted.mean
        scores[name] = centred @ fitted.components.T
        errors[name] = np.linalg.norm(centred - scores[name] @ fitted.components, axis=1)
    deviations = (scores["noise"].mean(axis=0) - scores["train"].mean(axis=0)) / scores["train"].std(axis=0, ddof=1)
    assert found.overall.shift == pytest.approx(np.sqrt((deviations**2).mean()), rel=1e-4)
    assert found.overall.error == pytest.approx(np.median(errors["noise"]) / np.median(errors["train"]), rel=1e-4)
    assert (found.overall.beyond, found.verdict) == (1, "large")
    assert [(one.label, one.fitted, one.new) for one in found.labels] == [("noise", 0, 12)]


def test_the_command_shows_drift_and_advice(folder: Path) -> None:
    out = printed("drift", folder / "train", folder / "noise")
    assert ": large" in out
    assert "fit a new PCA" in out
    assert json.loads(printed("drift", folder / "train", folder / "noise", "--json"))["verdict"] == "large"


def test_drift_is_from_the_photos_that_were_fitted(folder: Path, tmp_path: Path) -> None:
    fruitscale.apply(str(folder / "train"), settings(folder / "photos-test", tmp_path / "applied"))
    with pytest.raises(UsageError, match="not fitted on its photos"):
        fruitscale.drift(str(tmp_path / "applied"), str(folder / "test"))
    assert fruitscale.drift(str(folder / "train"), str(tmp_path / "applied")).overall.new == 60
