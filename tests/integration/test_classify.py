"""Labels by nearest neighbours: scikit-learn's votes, limits from photos held out, and photos unlike any of the run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fruitscale
from fruitscale.cli import app
from fruitscale.errors import InputError, ModelError, UsageError
from fruitscale.sample import draw
from fruitscale.search.labelled_photos import Classification
from tests.integration.erased import rows
from tests.integration.test_apply import QUICK_MODEL, settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 fruits, 25 photos each; 5 other photos of each of them, and 6 of noise; their run."""
    folder = tmp_path_factory.mktemp("classify")
    draw(folder / "known", classes=4, per_class=25)
    draw(folder / "new", classes=4, per_class=5, seed=3)
    (folder / "new" / "noise").mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(noise).resize((64, 64), Image.Resampling.NEAREST).save(
            folder / "new" / "noise" / f"={number}.png"
        )
    (folder / "new" / "noise" / "broken.jpg").write_bytes(b"no photo")
    fruitscale.run(settings(folder / "known", folder / "run", model=QUICK_MODEL))
    fruitscale.apply(str(folder / "run"), settings(folder / "new", folder / "later"))
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Classification:
    return fruitscale.classify(str(folder / "run"), str(folder / "later"))


@pytest.mark.parametrize(("by", "place", "k"), [("components", "reduced", 3), ("features", "features", 8)])
def test_votes_are_those_of_scikit_learn(folder: Path, by: str, place: str, k: int) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    known, new = rows(folder / "run", place), rows(folder / "later", place)
    oracle = KNeighborsClassifier(k, algorithm="brute")
    oracle.fit(np.stack(list(known.values())), [path.split("/")[0] for path in known])
    values = np.stack(list(new.values()))
    made = fruitscale.classify(str(folder / "run"), str(folder / "later"), k=k, by=by)  # type: ignore[arg-type]
    assert [photo.path for photo in made.photos] == list(new)
    assert [photo.voted for photo in made.photos] == oracle.predict(values).tolist()
    shares = oracle.predict_proba(values).max(axis=1)
    np.testing.assert_allclose([photo.share for photo in made.photos], shares)
    np.testing.assert_allclose([p.distance for p in made.photos], oracle.kneighbors(values, 1)[0][:, 0], rtol=1e-4)
    assert made.neighbours == k


def test_what_is_far_away_is_unknown(found: Classification) -> None:
    noise = [photo for photo in found.photos if photo.own == "noise"]
    assert len(noise) == found.own.others == found.own.others_unknown == 6
    assert all(photo.label is None and photo.distance > photo.limit for photo in noise)
    assert found.unknown == sum(photo.label is None for photo in found.photos)
    assert found.rejected == 1
    assert (found.own.photos, found.own.voted_right) == (20, sum(photo.voted == photo.own for photo in found.photos))


def test_limits_are_quantiles_of_photos_held_out_in_blocks(folder: Path, found: Classification) -> None:
    known = rows(folder / "run", "features")
    labels, values = [path.split("/")[0] for path in known], np.stack(list(known.values())).astype(np.float64)
    number = np.array([labels[:row].count(label) for row, label in enumerate(labels)])
    block = number * 10 // 25
    assert found.held_out == 100
    for scores in found.labels:
        own = np.array(labels) == scores.label
        distances = []
        for row in np.flatnonzero(own):
            others = ~(own & (block == block[row]))
            distances.append(np.linalg.norm(values[others] - values[row], axis=1).min())
        assert scores.limit == pytest.approx(np.quantile(distances, 0.95))
        assert scores.photos == 25
        assert scores.coverage <= 1
    everything = fruitscale.classify(str(folder / "run"), str(folder / "later"), unknown=1.0)
    assert all(more.limit >= less.limit for more, less in zip(everything.labels, found.labels, strict=True))
    assert everything.unknown <= found.unknown


def test_a_folder_of_photos_is_run_first(folder: Path, found: Classification, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    words = ["classify", str(folder / "run"), str(folder / "new"), "--quiet", "--set", "slots=1"]
    shown = CliRunner().invoke(app, [*words, "--output", str(table)])
    assert shown.exit_code == 0, shown.output
    assert f"{found.unknown} of 26 photos unknown" in shown.output
    assert "1 photo could not be used" in shown.output
    with table.open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["path"].lstrip("'") for row in written] == [photo.path for photo in found.photos]
    assert [row["label"] or None for row in written] == [photo.label for photo in found.photos]
    assert [row["unknown"] for row in written] == [str(int(photo.label is None)) for photo in found.photos]
    refused = CliRunner().invoke(app, [*words, "--output", str(table)])
    assert refused.exit_code == 1
    assert "exists already" in str(refused.exception)
    told = json.loads(
        CliRunner().invoke(app, ["classify", *map(str, (folder / "run", folder / "later")), "--json"]).output
    )
    assert [photo["label"] for photo in told["photos"]] == [photo.label for photo in found.photos]


def test_formulas_are_defused(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "photos"
    flat.mkdir()
    shutil.copy(next((folder / "known").rglob("*.jpg")), flat / "=1+2.jpg")
    words = ["classify", str(folder / "run"), str(flat), "--quiet", "--output", str(tmp_path / "labels.csv")]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "labels.csv").read_text().splitlines()[1].startswith("'=1+2.jpg,")


def test_wrong_use(folder: Path, tmp_path: Path) -> None:
    run, later = str(folder / "run"), str(folder / "later")
    for quantile in (0, 1.5, float("nan")):
        with pytest.raises(UsageError, match="not a quantile"):
            fruitscale.classify(run, later, unknown=quantile)
    with pytest.raises(InputError, match="does not exist"):
        fruitscale.classify(run, str(tmp_path / "none"))


@pytest.mark.slow
def test_runs_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    run, later = str(folder / "run"), str(folder / "later")
    fruitscale.run(settings(folder / "new", tmp_path / "other", model={**QUICK_MODEL, "input_size": 32}))
    with pytest.raises(ModelError, match="can't be compared"):
        fruitscale.classify(run, str(tmp_path / "other"))
    unlabelled = {"uri": str(folder / "new"), "label": "none"}
    fruitscale.run(settings(folder / "new", tmp_path / "plain", model=QUICK_MODEL, input=unlabelled))
    with pytest.raises(InputError, match="without a label"):
        fruitscale.classify(str(tmp_path / "plain"), later)
