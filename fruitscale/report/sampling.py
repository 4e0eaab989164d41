"""Samples the photos that a page shows: evenly by label, or at the extremes of a component. Arrays in, rows out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def evenly(codes: NDArray[np.integer], most: int) -> Rows:
    """Return up to `most` rows in order, equally many per label, spread over the label's rows.

    `codes` are the rows' label numbers (n,). What a small label does not use goes to the others.
    """
    counts = np.bincount(codes)
    by_label = np.argsort(codes, kind="stable")
    ends = np.cumsum(counts)
    picked = [
        by_label[end - count :][(2 * np.arange(share) + 1) * count // (2 * share)]
        for count, end, share in zip(counts, ends, shares(counts, most), strict=True)
        if share
    ]
    return np.sort(np.concatenate(picked)) if picked else np.empty(0, np.intp)


def shares(counts: NDArray[np.integer], most: int) -> NDArray[np.int64]:
    """Return the number of rows per label, `most` in all: equal shares, limited by the label's count."""
    given, left = np.zeros(len(counts), np.int64), most
    for done, label in enumerate(np.argsort(counts, kind="stable")):
        given[label] = min(int(counts[label]), left // (len(counts) - done))
        left -= int(given[label])
    return given


def ends(scores: NDArray[np.floating], codes: NDArray[np.integer], each: int) -> tuple[Rows, Rows]:
    """Return the rows with the lowest and the highest scores (n,), outermost first, one per label at each end.

    With fewer labels than `each`, labels are ignored.
    """
    order = np.argsort(scores, kind="stable")
    return _first_of_labels(order, codes, each), _first_of_labels(order[::-1], codes, each)


def _first_of_labels(rows: Rows, codes: NDArray[np.integer], each: int) -> Rows:
    _, firsts = np.unique(codes[rows], return_index=True)
    return rows[np.sort(firsts)][:each] if len(firsts) >= each else rows[:each]
