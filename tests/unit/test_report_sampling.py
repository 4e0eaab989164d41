"""Which photos a page shows, and which labels it calls close."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from fruitscale.report.label_pairs import closeness, nearest
from fruitscale.report.sampling import ends, evenly, shares


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(0, 200))
def test_shares_are_all_there_is_or_all_that_was_asked_for_and_even(counts: list[int], most: int) -> None:
    given_ = shares(np.array(counts, np.int64), most)
    assert (given_ <= counts).all()
    assert given_.sum() == min(most, sum(counts))
    cut = [n for n, count in zip(given_, counts, strict=True) if n < count]
    assert not cut or max(given_) - min(cut) <= 1


def test_rows_are_spread_over_each_label() -> None:
    codes = np.repeat([0, 1, 2], [1000, 10, 300])
    rows = evenly(codes, 130)
    assert np.bincount(codes[rows]).tolist() == [60, 10, 60]
    assert (np.diff(rows) > 0).all()
    first = rows[codes[rows] == 0]
    assert (np.diff(first) >= 16).all()
    assert (np.diff(first) <= 17).all()
    assert evenly(codes, 10_000).tolist() == list(range(1310))
    assert evenly(np.empty(0, np.int64), 5).size == 0


def test_more_labels_than_places_leave_the_smallest_out() -> None:
    codes = np.repeat(np.arange(10), np.arange(1, 11))
    assert sorted(codes[evenly(codes, 3)]) == [7, 8, 9]


def test_ends_are_the_outermost_one_of_a_label() -> None:
    rng = np.random.default_rng(0)
    codes, scores = rng.integers(0, 9, 500), rng.normal(size=500)
    low, high = ends(scores, codes, 5)
    for rows, outwards in ((low, scores), (high, -scores)):
        assert len(set(codes[rows])) == 5
        assert (np.diff(outwards[rows]) >= 0).all()
        assert outwards[rows[0]] == outwards.min()
        for row in rows:
            assert outwards[row] == outwards[codes == codes[row]].min()
        others = set(range(9)) - set(codes[rows])
        assert min(outwards[codes == label].min() for label in others) >= outwards[rows[-1]]


def test_with_few_labels_the_ends_are_the_outermost() -> None:
    low, high = ends(np.arange(20.0), np.arange(20) % 2, 5)
    assert low.tolist() == [0, 1, 2, 3, 4]
    assert high.tolist() == [19, 18, 17, 16, 15]


def test_neighbours_are_scikit_learns() -> None:
    scores = np.random.default_rng(3).normal(size=(1300, 7)).astype(np.float32)
    expected = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(scores).kneighbors(return_distance=False)[:, :5]
    codes = np.arange(1300) // 100
    found, others = nearest(scores, codes, 5)
    assert np.array_equal(np.sort(found), np.sort(expected))
    for row in (0, 99, 512, 1299):
        elsewhere = np.flatnonzero(codes != codes[row])
        away = np.linalg.norm(scores[elsewhere] - scores[row], axis=1)
        assert others[row] == elsewhere[away.argmin()]
    assert nearest(scores[:3], np.array([0, 0, 1]), 5)[0].shape == (3, 2)


def test_labels_that_are_close_are_named_first() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [1.0, 0], [10, 0], [0, 20]])
    codes = np.repeat([0, 1, 2, 3], 50)
    scores = (centres[codes] + rng.normal(size=(200, 2)) * 0.6).astype(np.float32)
    found = closeness(scores, codes, 3)
    assert found is not None
    assert 0.5 < found.own < 1
    assert {(p.label, p.other) for p in found.confused} == {(0, 1), (1, 0)}
    assert 0.05 < found.confused[0].value < 0.5
    assert [(p.label, p.other) for p in found.nearest[:1]] == [(0, 1)]
    assert {(p.label, p.other): p.value for p in found.others}[2, 1] == 1
    assert found.nearest[0].value == pytest.approx(1 / (0.6 * 2**0.5), rel=0.25)
    for label, row in found.medoids.items():
        mine = scores[codes == label]
        away = np.linalg.norm(mine - mine.mean(axis=0), axis=1)
        assert np.linalg.norm(scores[row] - mine.mean(axis=0)) == pytest.approx(away.min())
    assert closeness(scores[:50], codes[:50], 3) is None


def test_photos_all_alike_have_no_distance_in_spreads() -> None:
    found = closeness(np.zeros((6, 3), np.float32), np.array([0, 0, 0, 1, 1, 1]), 3)
    assert found is not None
    assert found.nearest == ()
