"""How far new photos are from those that were fitted, so that someone knows when to fit again.

The two measures are those of process monitoring with PCA (Jackson and Mudholkar, "Control procedures for residuals
associated with principal component analysis", 1979): where the scores are, and what the components leave unexplained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Storage
from fruitscale.errors import UsageError
from fruitscale.evaluation.vectors import check_same_model
from fruitscale.kernels.moments import Components, project
from fruitscale.runs.fitted_pca import open_fitted_pca
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.run_folder import FEATURES

Floats = NDArray[np.float64]
Verdict: TypeAlias = Literal["small", "noticeable", "large"]
PERCENTILE = 99
ERRORS = (1.4, 2.4)
"""From these on an error is noticeable, and large: about 2 and 6 times the variance that the components leave out."""
SHIFTS = (0.5, 1.0)
"""The same for a shift of all photos."""


@dataclass(frozen=True)
class LabelDrift:
    """New photos beside the fitted ones of the same label; beside all, where the label is new (`fitted` is 0).

    `shift` is how far the mean scores are apart, in standard deviations of the fitted scores (the root mean square over
    the components); `error` the median reconstruction error over that of the fitted photos: 1 is the same; `beyond` the
    fraction of new photos whose reconstruction error is above that of 99 % of all fitted photos: 0.01 is the same.
    """

    label: str | None
    fitted: int
    new: int
    shift: float
    error: float
    beyond: float


@dataclass(frozen=True)
class Drift:
    """How far the photos of the run `new` are from those of `run`: in all, and by label, the furthest first."""

    run: str
    new: str
    verdict: Verdict
    overall: LabelDrift
    labels: tuple[LabelDrift, ...]


def drift(run: str, new: str, storage: Storage | None = None) -> Drift:
    """Compare a run's photos with those that its components were fitted with.

    `run` is the run that fitted, `new` any run with the same model. Raises ModelError when the models differ,
    UsageError when `run` took its components from another.
    """
    basis, later = open_fitted_pca(run, storage), open_complete(new, storage)
    if basis.pca.applied is not None:
        raise UsageError(
            f"The components of {run} were not fitted with its photos: they are those of {basis.pca.applied.uri}.",
            f"Compare with that run: fruitscale drift {basis.pca.applied.uri} {new}",
        )
    check_same_model(basis.run, later)
    before, now = _read(basis.run, basis.fitted), _read(later, basis.fitted)
    bound = float(np.percentile(before.all.errors, PERCENTILE))
    overall = _distance(None, before.all, now.all, bound)
    labels = [
        _distance(label, before.labels.get(label), photos, bound, before.all) for label, photos in now.labels.items()
    ]
    labels.sort(key=lambda one: -one.error)
    return Drift(run, new, verdict(overall), overall, tuple(labels))


def verdict(overall: LabelDrift) -> Verdict:
    """Call the drift of all photos by a word: the worse of what its error and its shift say."""
    level = max(_level(overall.error, ERRORS), _level(overall.shift, SHIFTS))
    words: tuple[Verdict, ...] = ("small", "noticeable", "large")
    return words[level]


def _level(value: float, bounds: tuple[float, float]) -> int:
    return sum(value >= bound for bound in bounds)


@dataclass(frozen=True)
class _ProjectedPhotos:
    """Photos in the space of a PCA: scores in standard deviations (n, k), and reconstruction errors (n)."""

    scores: Floats
    errors: Floats


@dataclass(frozen=True)
class _FittedRun:
    all: _ProjectedPhotos
    labels: Mapping[str | None, _ProjectedPhotos]


def _read(run: CompleteRun, fitted: Components) -> _FittedRun:
    labels: list[str | None] = []
    scores, errors = [], []
    for part in run.parts(FEATURES):
        projected = project(part.values, fitted).astype(np.float64)
        centred = (part.values - fitted.mean) / fitted.scale
        labels += part.labels
        scores.append(projected / np.sqrt(fitted.explained_variance[: fitted.k]))
        errors.append(np.linalg.norm(centred - projected @ fitted.components, axis=1))
    every = _ProjectedPhotos(np.concatenate(scores), np.concatenate(errors))
    rows = {label: [row for row, of in enumerate(labels) if of == label] for label in dict.fromkeys(labels)}
    return _FittedRun(
        every, {label: _ProjectedPhotos(every.scores[at], every.errors[at]) for label, at in rows.items()}
    )


def _distance(
    label: str | None,
    before: _ProjectedPhotos | None,
    now: _ProjectedPhotos,
    bound: float,
    every: _ProjectedPhotos | None = None,
) -> LabelDrift:
    reference = before or every
    assert reference is not None
    apart = now.scores.mean(axis=0) - reference.scores.mean(axis=0)
    return LabelDrift(
        label=label,
        fitted=len(before.errors) if before is not None else 0,
        new=len(now.errors),
        shift=float(np.sqrt((apart**2).mean())),
        error=float(np.median(now.errors) / max(np.median(reference.errors), np.finfo(float).tiny)),
        beyond=float((now.errors > bound).mean()),
    )
