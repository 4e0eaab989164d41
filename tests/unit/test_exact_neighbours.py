"""Nearest neighbours by blocks: those of brute force, whatever the blocks, with ties in order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fruitscale.search.exact_neighbours import NOBODY, Block, nearest

Floats = NDArray[np.float32]


def vectors(n: int, width: int, seed: int, offset: float = 0.0) -> Floats:
    values = np.random.default_rng(seed).standard_normal((n, width)) + offset
    return values.astype(np.float32)


def brute_force(queries: Floats, values: Floats, k: int, left_out: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
    apart = ((queries.astype(np.float64)[:, None] - values) ** 2).sum(axis=2)
    if left_out is not None:
        apart[left_out] = np.inf
    return np.argsort(apart, axis=1, kind="stable")[:, :k]


def blocks(values: Floats, size: int) -> list[Block]:
    return [Block(values[start : start + size]) for start in range(0, len(values), size)]


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("offset", [0.0, 100.0])  # far from the origin, float32 products lose most digits
def test_the_nearest_are_those_of_brute_force(size: int, offset: float) -> None:
    values, queries = vectors(500, 24, 0, offset), vectors(9, 24, 1, offset)
    found = nearest(queries, blocks(values, size), 10)
    assert (found.rows == brute_force(queries, values, 10)).all()
    expected = np.linalg.norm(queries[:, None].astype(np.float64) - values[found.rows], axis=2)
    assert np.array_equal(found.distances, expected) or np.allclose(found.distances, expected, rtol=1e-14)


@pytest.mark.parametrize("size", [3, 50, 1000])
def test_equal_rows_are_found_in_their_order(size: int) -> None:
    values = np.repeat(vectors(5, 8, 2, 30.0), 60, axis=0)[np.random.default_rng(3).permutation(300)]
    found = nearest(values[:4], blocks(values, size), 70)
    assert (found.rows == brute_force(values[:4], values, 70)).all()
    assert (found.distances[:, :60] == 0).all()


def test_a_query_leaves_out_the_rows_of_its_group() -> None:
    values = vectors(200, 6, 4)
    groups = np.random.default_rng(5).integers(NOBODY, 20, 200)
    found = nearest(values, [Block(values[:90], groups[:90]), Block(values[90:], groups[90:])], 5, groups)
    left_out = (groups[:, None] == groups) & (groups[:, None] != NOBODY)
    assert (found.rows == brute_force(values, values, 5, left_out)).all()
    assert (found.rows[groups == NOBODY, 0] == np.flatnonzero(groups == NOBODY)).all()  # these find themselves


def test_fewer_rows_than_k() -> None:
    values = vectors(3, 4, 6)
    found = nearest(values[:1], blocks(values, 2), 5)
    assert found.rows[0, 0] == 0
    assert (found.rows[0, 3:] == -1).all()
    assert np.isinf(found.distances[0, 3:]).all()
    assert np.isfinite(found.distances[0, :3]).all()


def test_more_queries_and_rows_than_one_product_takes() -> None:
    values = vectors(4200, 3, 7)
    queries = values[:300]
    assert (nearest(queries, [Block(values)], 2).rows == brute_force(queries, values, 2)).all()
