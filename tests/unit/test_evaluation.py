"""Which photos are taken, which numbers of components are tried, and how frames of a turning fruit are told."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from fruitscale.evaluation.drift import LabelDrift, verdict
from fruitscale.evaluation.nearest_neighbours import growing
from fruitscale.evaluation.overlap import copies, series_of
from fruitscale.evaluation.vectors import evenly
from fruitscale.runs.photos import PhotoPixels


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        pytest.param({"a": 3, "b": 2}, 5, {"a": 3, "b": 2}, id="all"),
        pytest.param({"a": 100, "b": 100}, 20, {"a": 10, "b": 10}, id="evenly"),
        pytest.param({"a": 100, "b": 3, "c": 50}, 23, {"a": 10, "b": 3, "c": 10}, id="the-small-ones-whole"),
        pytest.param({"a": 5, "b": 5, "c": 5}, 2, {"a": 1, "b": 1, "c": 1}, id="one-at-least"),
    ],
)
def test_photos_are_taken_evenly(counts: dict[str, int], most: int, expected: dict[str, int]) -> None:
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = evenly(labels, most)
    assert Counter(labels[row] for row in rows) == expected
    assert rows == sorted(set(rows))


def test_photos_of_a_label_are_spread_over_it() -> None:
    assert evenly(["a"] * 100, 4) == [0, 25, 50, 75]


@pytest.mark.parametrize("most", [1, 2, 9, 10, 132, 1280])
def test_numbers_of_components_grow_up_to_the_last(most: int) -> None:
    tried = growing(most)
    assert tried[0] == 1
    assert tried[-1] == most
    assert tried == sorted(set(tried))
    assert (10 in tried) == (most >= 10)
    assert all(after <= before * 1.5 + 1 for before, after in itertools.pairwise(tried))


@pytest.mark.parametrize(
    ("train", "test", "shared"),
    [
        pytest.param("Apple/12_100.jpg", "Apple/13_100.jpg", True, id="the-same-axis"),
        pytest.param("Apple/r_12_100.jpg", "Apple/r_0_100.jpg", True, id="lying-on-its-side"),
        pytest.param("Apple/r0_12.jpg", "Apple/r0_99.jpg", True, id="original-size"),
        pytest.param("Apple/12_100.jpg", "Apple/r_12_100.jpg", False, id="another-axis"),
        pytest.param("Apple/12_100.jpg", "Pear/12_100.jpg", False, id="another-fruit"),
        pytest.param("Apple/IMG_0012.jpg", "Apple/IMG_0013.jpg", False, id="no-frames"),
        pytest.param("Apple/12.jpg", "Apple/13.jpg", False, id="only-numbered"),
    ],
)
def test_frames_of_one_fruit_are_told(train: str, test: str, shared: bool) -> None:
    keys = [series_of(path, path.split("/")[0]) for path in (train, test)]
    assert (keys[0] is not None and keys[0] == keys[1]) == shared


def photos(values: NDArray[np.uint8], unreadable: int | None = None) -> PhotoPixels:
    return PhotoPixels(values, np.arange(len(values)) != unreadable)


def test_copies_are_found_by_their_pixels() -> None:
    generator = np.random.default_rng(0)
    train = generator.integers(0, 256, (300, 32, 32, 3)).astype(np.uint8)
    noise = generator.normal(0, 2, (3, 32, 32, 3)).round()
    again = (train[[7, 299, 120]].clip(10, 245) + noise).astype(np.uint8)
    far = np.clip(train[:1].astype(int) + generator.normal(0, 3.5, (1, 32, 32, 3)).round(), 0, 255).astype(np.uint8)
    close = train.clip(10, 245)
    assert copies(photos(close), photos(np.concatenate([again, far]))) == [(0, 7), (1, 299), (2, 120)]
    assert copies(photos(close, unreadable=7), photos(again, unreadable=2)) == [(1, 299)]


def test_a_photo_with_the_same_means_is_no_copy() -> None:
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    stripes = grey + np.array([20, -20], int).repeat(16 * 3).reshape(1, 1, 32, 3).astype(np.uint8)
    checks = grey.copy()
    checks[:, ::2, ::2], checks[:, 1::2, 1::2] = 148, 108
    assert copies(photos(grey), photos(np.concatenate([stripes, checks, grey + 2]))) == [(2, 0)]


@pytest.mark.parametrize(
    ("shift", "error", "expected"),
    [
        (0, 1, "small"), (0.49, 1.39, "small"), (0.5, 1, "noticeable"), (0, 1.4, "noticeable"), (1, 1, "large"),
        (0.5, 2.4, "large"),
    ],
)  # fmt: skip
def test_a_verdict_is_the_worst_of_its_measures(shift: float, error: float, expected: str) -> None:
    assert verdict(LabelDrift(None, 100, 100, shift, error, 0.01)) == expected


@pytest.mark.parametrize(
    ("new", "beyond", "expected"),
    [(1000, 0.01, "small"), (1000, 0.08, "noticeable"), (300, 0.367, "large"), (5, 0.2, "small"), (5, 1, "large")],
)
def test_the_share_beyond_the_bound_counts_where_it_is_not_chance(new: int, beyond: float, expected: str) -> None:
    assert verdict(LabelDrift(None, 100, new, 0, 1, beyond)) == expected
