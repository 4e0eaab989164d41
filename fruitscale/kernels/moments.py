"""Exact PCA from merged moments: count, mean and scatter matrix, in float64.

The moments of parts are merged by Chan, Golub and LeVeque's pairwise update ("Updating formulae and a pairwise algorithm
for computing sample variances", 1979); `eigh` solves the covariance (divisor n - 1). n counts rows, F features, k
components.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import InputError, OutputError

SIGN_RULE = "the loading of largest magnitude of each component is positive"
Floats = NDArray[np.float64]
BLOCK = 4096
"""Rows centred and multiplied together."""
MOST_GROUPS = 32
ROWS_TO_SEND = 1000
"""Rows that can be multiplied in the time it takes to send and merge one group's moments."""


@dataclass(frozen=True)
class Moments:
    """Count, mean (F) and scatter: the sum of outer products of the centred rows.

    Only the scatter's upper triangle is stored, row by row, F (F + 1) / 2 numbers: half the bytes to add and send.
    """

    count: int
    mean: Floats
    triangle: Floats

    @property
    def scatter(self) -> Floats:
        """The full scatter matrix (F, F), built on each access."""
        width = self.mean.size
        scatter = np.empty((width, width))
        for i, row in enumerate(_rows_of(width)):
            scatter[i, i:] = scatter[i:, i] = self.triangle[row]
        return scatter


@dataclass(frozen=True)
class Components:
    """A PCA fitted on n rows; `components` (k, F) are sorted by variance, with signs as in SIGN_RULE.

    `mean` and `scale` have shape (F,). `explained_variance` and `ratio`, also (F,), cover all directions, not only the
    k kept.
    """

    mean: Floats
    scale: Floats
    components: Floats
    explained_variance: Floats
    ratio: Floats
    n: int

    @property
    def k(self) -> int:
        """The number of components kept."""
        return len(self.components)

    @property
    def retained_variance(self) -> float:
        """The fraction of the variance that the k components keep."""
        return float(self.ratio[: self.k].sum())

    def summary(self) -> dict[str, object]:
        """Return a summary for people, as JSON values."""
        return {
            "components": self.k,
            "features": self.mean.size,
            "n": self.n,
            "retained_variance": self.retained_variance,
            "explained_variance_ratio": self.ratio[: self.k].tolist(),
            "sign_rule": SIGN_RULE,
        }

    def to_bytes(self) -> bytes:
        """Return the arrays as an npz file."""
        sink = io.BytesIO()
        np.savez(sink, allow_pickle=False, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Components:
        """Read an npz file from `to_bytes`. Raises OutputError if it is damaged."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                damaged = stored.zip.testzip()  # NumPy itself stops before the checksum if a shape is too small
                if damaged is not None:
                    raise BadZipFile(damaged)
                arrays = {name: stored[name] for name in stored.files}
            return cls(**{**arrays, "n": int(arrays["n"])})
        except (ValueError, OSError, KeyError, TypeError, EOFError, RuntimeError, BadZipFile) as error:
            raise OutputError(f"pca.npz is damaged: {error}", "Run the same command again.") from None


def moments(rows: NDArray[np.floating]) -> Moments:
    """Return the moments of rows (n, F), computed in float64."""
    centred = np.array(rows, dtype=np.float64)
    if not len(centred):
        width = centred.shape[1]
        return Moments(0, np.zeros(width), np.zeros(width * (width + 1) // 2))
    mean = centred.mean(axis=0)
    centred -= mean
    return Moments(len(centred), mean, np.concatenate([row[i:] for i, row in enumerate(centred.T @ centred)]))


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of the rows of both (Chan's update)."""
    if not a.count or not b.count:
        return b if not a.count else a
    count = a.count + b.count
    shift = b.mean - a.mean
    mean = a.mean + shift * (b.count / count)
    triangle, weighted = a.triangle + b.triangle, shift * (a.count * b.count / count)
    for i, row in enumerate(_rows_of(shift.size)):
        triangle[row] += shift[i] * weighted[i:]
    return Moments(count, mean, triangle)


def moments_of(parts: Iterable[NDArray[np.floating]], width: int) -> Moments:
    """Return the moments of the rows of many parts (n_i, F), in blocks of their order."""
    total = moments(np.empty((0, width)))
    waiting: list[NDArray[np.floating]] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= BLOCK:
            total, waiting = merge(total, moments(np.concatenate(waiting))), []
    return merge(total, moments(np.concatenate(waiting))) if waiting else total


def group_edges(n_parts: int, n_rows: int) -> list[int]:
    """Return the boundaries of at most 32 groups of parts, whose moments are computed separately.

    They depend on the number of rows and parts alone, never on the machine, so the sums do not either. More groups take
    less time each but more time to send, so their number grows as the square root of the rows. It is a power of two, so
    that this many cores, or half of them, finish together.
    """
    most = min(MOST_GROUPS, n_parts, max(1, math.isqrt(n_rows // ROWS_TO_SEND)))
    n_groups = 1 << (most.bit_length() - 1)
    return [group * n_parts // n_groups for group in range(n_groups + 1)]


def fit(total: Moments, requested: float, *, standardize: bool = False) -> Components:
    """Fit the requested components: a count (int), or a fraction of the variance (float).

    With `standardize`, each feature is divided by its standard deviation (divisor n, as in scikit-learn's
    StandardScaler), or by 1 if that is 0. Each component's loading of largest magnitude is positive. Raises InputError
    if there are too few rows, or they are all equal.
    """
    n, width = total.count, total.mean.size
    check_count(requested, n, width)
    covariance = total.scatter
    scale = _scale(total, np.diagonal(covariance)) if standardize else np.ones(width)
    covariance /= n - 1
    covariance /= scale
    covariance /= scale[:, None]
    if not np.isfinite(covariance).all():
        raise InputError("Some features are not numbers.", "Check the model's weights, or set model.precision to f32.")
    values, vectors = np.linalg.eigh(covariance)
    variance = np.clip(values[::-1], 0, None)
    if not variance.sum() > 0:
        raise InputError("All photos have the same features, so there are no components.", "Check the photos.")
    ratio = variance / variance.sum()
    k = choose(ratio, requested, n)
    return Components(total.mean, scale, _with_signs(vectors.T[::-1][:k]), variance, ratio, n)


def check_count(requested: float, n: int, width: int | None = None) -> None:
    """Raise InputError if n rows of F features have fewer components than requested; None: F is not known yet."""
    most = n - 1 if width is None else min(n - 1, width)
    if most < 1:
        raise InputError(f"{n} usable photo{'s' * (n != 1)}: principal components need at least 2.", "Add photos.")
    if isinstance(requested, int) and requested > most:
        of = "" if width is None else f" with {width:,} features"
        raise InputError(
            f"pca.components is {requested}; {n:,} photos{of} have at most {most:,} component{'s' * (most != 1)}.",
            f"Set it to at most {most}, or to a fraction like 0.95.",
        )


def choose(ratio: Floats, requested: float, n: int) -> int:
    """Return k: the requested count, or the fewest components whose ratios exceed the requested fraction."""
    if isinstance(requested, int):
        return requested
    k = int(np.searchsorted(np.cumsum(ratio), requested, side="right")) + 1
    return min(k, n - 1, ratio.size)


def project(rows: NDArray[np.floating], fitted: Components) -> NDArray[np.float32]:
    """Return the scores (n, k) of rows (n, F), centred and scaled with the fit's mean and scale."""
    centred = np.asarray(rows, dtype=np.float64) - fitted.mean
    centred /= fitted.scale
    return (centred @ fitted.components.T).astype(np.float32)


def _rows_of(width: int) -> Iterator[slice]:
    """Yield the slice of each row in the stored triangle."""
    start = 0
    for length in range(width, 0, -1):
        yield slice(start, start + length)
        start += length


def _scale(total: Moments, squares: Floats) -> Floats:
    """Return each feature's standard deviation, from its sum of squares."""
    variance = squares / total.count
    # A constant feature's variance is 0 except for rounding; the bound is scikit-learn's (_is_constant_feature).
    eps = np.finfo(np.float64).eps
    bound = total.count * eps * variance + (total.count * eps * total.mean) ** 2
    return np.where(variance <= bound, 1.0, np.sqrt(variance))


def _with_signs(components: Floats) -> Floats:
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return np.ascontiguousarray(components * signs[:, None])
