"""Tuning: series of photos, quality of features, and the recommendation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from fruitscale.config.loading import from_mapping
from fruitscale.config.schema import Model
from fruitscale.errors import InputError, UsageError
from fruitscale.tuning import quality
from fruitscale.tuning.candidates import Candidate, Wanted, make_grid
from fruitscale.tuning.judging import judge
from fruitscale.tuning.photo_sample import take_sample
from fruitscale.tuning.series import recognise
from fruitscale.tuning.trials import CandidateTrial
from fruitscale.tuning.tune_tables import points
from fruitscale.tuning.tuning_results import Row, recommended, rows_of

RNG = np.random.default_rng(0)


def names(template: str, frames: int = 12) -> list[str]:
    return [template.replace("N", str(number)) for number in range(frames)]


@pytest.mark.parametrize(
    ("paths", "series"),
    [
        (names("Kiwi/N_100.jpg") + names("Kiwi/r_N_100.jpg"), {"#_100", "r_#_100"}),
        (names("Kiwi/r0_N.jpg") + names("Kiwi/r1_N.jpg"), {"r0_#", "r1_#"}),
        (
            names("Kiwi/IMG_20240501_1015N.jpg") + names("Kiwi/IMG_20240502_0912N.jpg"),
            {"IMG_20240501_#", "IMG_20240502_#"},
        ),
    ],
)
def test_a_name_without_its_frame_number_is_its_series(paths: list[str], series: set[str]) -> None:
    assert set(recognise(paths, ["Kiwi"] * len(paths)).names or ()) == series


def test_names_that_show_no_series_are_not_split() -> None:
    shapes = [f"Kiwi/{RNG.bytes(6).hex().replace('0', 'g')}.jpg" for _ in range(40)]
    assert recognise(shapes, ["Kiwi"] * 40).names is None
    assert recognise(names("Kiwi/N_100.jpg"), ["Kiwi"] * 12).names is None  # frames of one fruit only
    assert recognise(names("Kiwi/N_100.jpg") + names("Kiwi/r_N_100.jpg"), [None] * 24).names is None


def test_a_pattern_names_the_series() -> None:
    paths = ["day1/a.jpg", "day2/b.jpg"]
    assert recognise(paths, ["a", "a"], r"day\d").names == ("day1", "day2")
    with pytest.raises(UsageError, match="not a regular expression"):
        recognise(paths, ["a", "a"], "(")
    with pytest.raises(UsageError, match=r"does not match day2/b\.jpg"):
        recognise(paths, ["a", "a"], "day1")


def test_accuracy_is_that_of_scikit_learn_between_the_groups() -> None:
    labels = np.array(["a", "b", "c"] * 30)
    series = np.array(["one"] * 45 + ["two"] * 45)
    values = (RNG.normal(size=(90, 8)) + 0.5 * np.eye(8)[np.unique(labels, return_inverse=True)[1]]).astype(np.float32)
    found = quality.accuracy(values, labels.tolist(), series.tolist(), np.ones(90, bool))
    expected = np.empty(90)
    for here, there in ((series == "one", series == "two"), (series == "two", series == "one")):
        known = KNeighborsClassifier(1, algorithm="brute").fit(values[there], labels[there])
        expected[here] = known.predict(values[here]) == labels[here]
    assert found.tolist() == expected.tolist()
    assert 0 < found.mean() < 1


def test_photos_whose_label_is_in_one_series_only_are_not_asked() -> None:
    values = RNG.normal(size=(6, 3)).astype(np.float32)
    scores = quality.accuracy(values, list("aabbcc"), list("121122"), np.ones(6, bool))
    assert len(scores) == 2


def test_agreement_is_the_share_of_common_neighbours() -> None:
    values = RNG.normal(size=(50, 4)).astype(np.float32)
    own = quality.neighbours(values)
    expected = NearestNeighbors(n_neighbors=11).fit(values).kneighbors(values, return_distance=False)[:, 1:]
    assert [set(row) for row in own.tolist()] == [set(row) for row in expected.tolist()]
    assert quality.agreement(own, own).tolist() == [1.0] * 50
    other = quality.neighbours(RNG.normal(size=(50, 4)).astype(np.float32))
    assert 0.1 < quality.agreement(other, own).mean() < 0.4  # chance is 10 of 49


def test_the_interval_covers_the_true_difference() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        both = rng.random((400, 2)) < (0.80, 0.85)
        gap = quality.difference(both[:, 1].astype(float), both[:, 0].astype(float), seed)
        covered += gap.low <= 0.05 <= gap.high
    assert 180 <= covered <= 199


def trial(size: int, ms: float, values: Any) -> CandidateTrial:
    keys = tuple((0, f"{number}.jpg") for number in range(len(values)))
    labels = tuple("ab"[number % 2] for number in range(len(values)))
    candidate = Candidate("efficientnet_lite0", "packaged", size, "f32", 1)
    return CandidateTrial(candidate, ms, 200.0, 2, keys, labels, values, values)


def rows() -> list[Row]:
    """Of candidates that are perfect, as good but faster, and fast but random."""
    n = 400
    perfect = np.stack([np.arange(n) % 2, np.zeros(n)], axis=1).astype(np.float32)
    noise = RNG.normal(size=(n, 2)).astype(np.float32)
    trials = [trial(224, 6.0, perfect), trial(128, 2.0, perfect * 2), trial(96, 1.0, noise)]
    series = {key: ("one", "two")[number // (n // 2)] for number, key in enumerate(trials[0].keys)}
    return rows_of(judge(trials, series, 0), "accuracy", 0.01, 0.04)


def test_the_cheapest_that_is_good_enough_is_recommended() -> None:
    reference, good, bad = rows()
    assert (reference.verdict, good.verdict, bad.verdict) == ("reference", "equal", "worse")
    assert recommended([reference, good, bad]) == good
    assert [row.is_on_front for row in (reference, good, bad)] == [False, True, True]
    assert good.cost_per_million == pytest.approx(0.04 * 2.0 / 3600 * 1e3)


def test_the_sample_is_even_over_labels_and_series(tmp_path: Path) -> None:
    for label, frames in (("Apple", 40), ("Kiwi", 10)):
        for name in [*names(f"{label}/N_100.jpg", frames), *names(f"{label}/r_N_100.jpg", frames)]:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
    config = from_mapping({"input": {"uri": str(tmp_path)}})
    sample = take_sample(config, None, 40, None, seed=0)
    counts: dict[tuple[str | None, str], int] = {}
    for photo in sample.chosen[0]:
        kind = (photo.label, sample.series[0, photo.path])
        counts[kind] = counts.get(kind, 0) + 1
    assert set(counts.values()) == {10}
    assert take_sample(config, None, 40, None, seed=0) == sample
    (listed,) = sample.write_lists(8, tmp_path)
    assert len(listed.read_text().splitlines()) == 1 + 8
    with pytest.raises(InputError, match="There are no photos"):
        take_sample(
            config.model_copy(update={"input": config.input.model_copy(update={"include": ("*.gif",)})}),
            None,
            9,
            None,
            0,
        )


def test_networks_without_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = Model(architecture="efficientnet_lite0", weights="packaged")
    grid = make_grid(model, Wanted(sizes=[128], precisions=["f32"]))
    assert grid.reference == Candidate.of(model)
    assert {candidate.input_size for candidate in grid.candidates} == {128, 224}
    assert "resnet50" in grid.missing[0]
    assert "fruitscale model export --set model.architecture=" in grid.missing[0]


def test_points_in_words() -> None:
    assert [points(value) for value in (0.01, 0.005, 0.02)] == ["1 point", "0.5 points", "2 points"]
