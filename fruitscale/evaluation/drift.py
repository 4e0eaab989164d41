"""Measures how far new photos are from the fitted ones, to show when a PCA should be refitted.

The two measures are those of process monitoring with PCA (Jackson and Mudholkar, "Control procedures for residuals
associated with principal component analysis", 1979): the position of the scores, and the reconstruction error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Storage
from fruitscale.errors import UsageError
from fruitscale.evaluation.vectors import check_same_model, spelled_alike
from fruitscale.kernels.moments import Components, project
from fruitscale.runs import html_table
from fruitscale.runs.fitted_pca import open_fitted_pca
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.run_folder import FEATURES
from fruitscale.storage.residency import StorageAccess

Floats = NDArray[np.float64]
Verdict: TypeAlias = Literal["no photos", "small", "noticeable", "large"]
PERCENTILE = 99
SHOWN = 20
"""Labels shown in a notebook."""
ERRORS = (1.4, 2.4)
"""An error from these values on is noticeable, or large: about 2 and 6 times the variance left out by the components."""
SHIFTS = (0.5, 1.0)
"""The same for the shift of all photos."""
BEYOND = (0.05, 0.25)
"""The same for the share of photos beyond the bound, of which 0.01 is expected."""
STANDARD_ERRORS = 2
"""Subtracted from that share first, so that one photo in a few doesn't decide."""


@dataclass(frozen=True)
class LabelDrift:
    """New photos compared with the fitted ones of the same label, or with all if the label is new (`fitted` is 0).

    `shift` is the distance of the mean scores in standard deviations of the fitted scores (root mean square over the
    components); `error` the ratio of the median reconstruction errors (1: no drift); `beyond` the fraction of new photos
    with a larger reconstruction error than 99 % of the fitted photos (0.01: no drift).
    """

    label: str | None
    fitted: int
    new: int
    shift: float
    error: float
    beyond: float


@dataclass(frozen=True)
class Drift:
    """The drift of the run `new` from `run`: overall, and by label, largest first.

    The verdict on a run of `apply` that found nothing new is `no photos`, and its measures are those of no drift.
    """

    run: str
    new: str
    verdict: Verdict
    overall: LabelDrift
    labels: tuple[LabelDrift, ...]

    def _repr_html_(self) -> str:
        """Return the drift as a notebook shows it: overall, and the labels that drifted most."""
        groups = [("all", self.overall), *((g.label or "(no label)", g) for g in self.labels[:SHOWN])]
        rows = [
            (name, f"{g.fitted:,}", f"{g.new:,}", f"{g.shift:.2f}", f"{g.error:.2f}", f"{g.beyond:.1%}")
            for name, g in groups
        ]
        rest = len(self.labels) - SHOWN
        return html_table.table(
            f"Drift of {self.new} from {self.run}: {self.verdict}",
            ("label", "fitted", "new", "shift", "error", "beyond 99 %"),
            rows,
            [f"{rest:,} more labels drifted less."] if rest > 0 else [],
        )


def drift(run: str, new: str, storage: Storage | None = None) -> Drift:
    """Compare a run's photos with those a PCA was fitted on.

    `run` fitted the PCA; `new` is any run with the same model. Raises ModelError if the models differ, UsageError if `run`
    took its components from another run.
    """
    access = StorageAccess(storage)
    reference, later = open_fitted_pca(run, access), open_complete(new, access)
    if reference.pca.applied is not None:
        raise UsageError(
            f"The components of {run} were not fitted on its photos: they come from {reference.pca.applied.uri}.",
            f"Compare with that run: fruitscale drift {reference.pca.applied.uri} {new}",
        )
    check_same_model(reference.run, later)
    before, now = _read(reference.run, reference.fitted), _read(later, reference.fitted)
    if not len(now.all.errors):
        return Drift(run, new, "no photos", LabelDrift(None, len(before.all.errors), 0, 0.0, 1.0, 0.0), ())
    bound = float(np.percentile(before.all.errors, PERCENTILE))
    overall = _drift_of(None, before.all, now.all, bound)
    labels = [
        _drift_of(label, before.labels.get(label), photos, bound, before.all) for label, photos in now.labels.items()
    ]
    labels.sort(key=lambda label: -label.error)
    return Drift(run, new, verdict(overall), overall, tuple(labels))


def verdict(overall: LabelDrift) -> Verdict:
    """Return the drift of all photos in one word: the worst of its error, its shift and the share beyond the bound."""
    uncertainty = STANDARD_ERRORS * (overall.beyond * (1 - overall.beyond) / max(overall.new, 1)) ** 0.5
    level = max(
        _level(overall.error, ERRORS), _level(overall.shift, SHIFTS), _level(overall.beyond - uncertainty, BEYOND)
    )
    words: tuple[Verdict, ...] = ("small", "noticeable", "large")
    return words[level]


def _level(value: float, bounds: tuple[float, float]) -> int:
    return sum(value >= bound for bound in bounds)


@dataclass(frozen=True)
class _ProjectedPhotos:
    """Photos projected by a PCA: scores in standard deviations (n, k), and reconstruction errors (n,)."""

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
        labels += map(spelled_alike, part.labels)
        scores.append(projected / np.sqrt(fitted.explained_variance[: fitted.k]))
        errors.append(np.linalg.norm(centred - projected @ fitted.components, axis=1))
    every = _ProjectedPhotos(np.concatenate(scores), np.concatenate(errors))
    rows: dict[str | None, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    return _FittedRun(
        every, {label: _ProjectedPhotos(every.scores[at], every.errors[at]) for label, at in rows.items()}
    )


def _drift_of(
    label: str | None,
    before: _ProjectedPhotos | None,
    now: _ProjectedPhotos,
    bound: float,
    every: _ProjectedPhotos | None = None,
) -> LabelDrift:
    baseline = before or every
    assert baseline is not None
    apart = now.scores.mean(axis=0) - baseline.scores.mean(axis=0)
    return LabelDrift(
        label=label,
        fitted=len(before.errors) if before is not None else 0,
        new=len(now.errors),
        shift=float(np.sqrt((apart**2).mean())),
        error=float(np.median(now.errors) / max(np.median(baseline.errors), np.finfo(float).tiny)),
        beyond=float((now.errors > bound).mean()),
    )
