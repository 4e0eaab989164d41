"""Finds the nearest rows of blocks that are read one after the other: exactly, in memory that doesn't grow with the rows.

A float32 matrix product bounds every distance from below and above; the rows that may be among the nearest by these bounds
are compared again in float64. So the result is that of brute force, and equal rows have equal distances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUERIES, ROWS, PAIRS = 256, 4096, 2048
"""Queries and rows of one matrix product; pairs of rows compared in float64 at once."""
CROWD = 2
"""A query with more candidates in a block than this many times k is given a closer bound first."""
NOBODY = -1
"""The group of a row or query that excludes no other."""

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each query, nearest first: `rows` (n, k) counts from the first block's first row.

    `distances` (n, k) are Euclidean. With fewer than k rows, the rest is row -1 at an infinite distance.
    """

    rows: Rows
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Rows to search (n, width). `groups` (n,): a query of the same group leaves a row out, unless it is NOBODY."""

    values: Floats
    groups: Rows | None = None


class NearestSearch:
    """Keeps the k nearest rows of each query; of equally near ones, the first."""

    def __init__(self, queries: Floats, k: int, groups: Rows | None = None) -> None:
        self._queries, self._k, self._groups = np.ascontiguousarray(queries, np.float32), k, groups
        self._squares = np.full((len(queries), k), np.inf)
        self._rows = np.full((len(queries), k), -1, np.int64)
        self._seen = 0

    def add(self, block: Block) -> None:
        """Search the next rows."""
        for start in range(0, len(block.values), ROWS):
            part = slice(start, start + ROWS)
            values = np.ascontiguousarray(block.values[part], np.float32)
            groups = None if block.groups is None else block.groups[part]
            lengths = _lengths(values)
            for first in range(0, len(self._queries), QUERIES):
                self._search(slice(first, first + QUERIES), values, lengths, groups)
            self._seen += len(values)

    def found(self) -> Neighbours:
        """Return the nearest of the rows added."""
        return Neighbours(self._rows, np.sqrt(self._squares))

    def _search(self, of: slice, values: Floats, lengths: Floats, groups: Rows | None) -> None:
        queries = self._queries[of]
        own = _lengths(queries)
        # A sum of n products of float32 is off by at most n * eps / 2 of the product of lengths: lengths and doubled products
        error = np.float32((queries.shape[1] + 8) * np.finfo(np.float32).eps)
        least = queries @ values.T  # becomes a lower bound of the squared distances, in place
        least *= np.float32(-2)
        least += (own * (1 - error))[:, None]
        least += lengths * (1 - error)
        if self._groups is not None and groups is not None:
            mine = self._groups[of][:, None]
            least[(mine == groups) & (mine != NOBODY)] = np.inf
        most = np.nextafter(self._squares[of, -1].astype(np.float32), np.float32(np.inf))
        most = np.minimum(most, np.finfo(np.float32).max)  # rows left out are beyond that
        near = least <= most[:, None]
        crowded = np.flatnonzero(np.count_nonzero(near, axis=1) > CROWD * self._k)
        if len(crowded):
            upper = least[crowded] + 2 * error * (own[crowded, None] + lengths)
            bound = np.partition(upper, self._k - 1, axis=1)[:, self._k - 1, None]
            near[crowded] &= least[crowded] <= bound
        asked, rows = np.nonzero(near)
        if len(asked):
            self._keep(of, asked, rows + self._seen, _exact(queries, values, asked, rows))

    def _keep(self, of: slice, asked: Rows, rows: Rows, squares: NDArray[np.float64]) -> None:
        """Merge candidates into the nearest: sorted by query, distance and row, the first k of each query stay."""
        kept = self._squares[of]
        n = len(kept)
        query = np.concatenate([np.repeat(np.arange(n), self._k), asked])
        every, number = np.concatenate([kept.ravel(), squares]), np.concatenate([self._rows[of].ravel(), rows])
        order = np.lexsort((number, every, query))
        counts = np.bincount(query, minlength=n)
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        chosen = order[(first[:, None] + np.arange(self._k))]
        self._squares[of], self._rows[of] = every[chosen], number[chosen]


def nearest(queries: Floats, blocks: Iterable[Block], k: int, groups: Rows | None = None) -> Neighbours:
    """Return the k nearest rows of each query (n, width) among all blocks; `groups` are those of the queries."""
    search = NearestSearch(queries, k, groups)
    for block in blocks:
        search.add(block)
    return search.found()


def _lengths(values: Floats) -> Floats:
    squares: Floats = np.einsum("ij,ij->i", values, values)
    return squares


def _exact(queries: Floats, values: Floats, asked: Rows, rows: Rows) -> NDArray[np.float64]:
    squares = np.empty(len(asked))
    for start in range(0, len(asked), PAIRS):
        some = slice(start, start + PAIRS)
        apart = queries[asked[some]].astype(np.float64) - values[rows[some]]
        squares[some] = np.einsum("ij,ij->i", apart, apart)
    return squares
