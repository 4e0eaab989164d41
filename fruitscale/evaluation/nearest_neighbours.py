"""Evaluates how many components are enough: k-NN accuracy and silhouette by number of components.

Nothing is trained: a test photo gets the majority label of its nearest training photos (scikit-learn's
KNeighborsClassifier, Euclidean distance).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fruitscale.config.schema import Storage
from fruitscale.display.formatting import counted
from fruitscale.errors import FruitscaleError, MissingExtraError
from fruitscale.evaluation.overlap import copies, overlaps
from fruitscale.evaluation.vectors import Floats, LabelledFeatures, check_same_model, read_labelled
from fruitscale.kernels.moments import project
from fruitscale.runs import html_table
from fruitscale.runs.fitted_pca import FittedPca, open_fitted_pca
from fruitscale.runs.photos import read_pixels, why_unreadable
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.storage.residency import StorageAccess

NEIGHBOURS = 5
MOST_TRAIN, MOST_TEST = 20_000, 5_000
PIXELS = 32
"""Side of the squares for the comparison of raw pixels."""
POINT = 0.01
GROWTH = 1.35
"""Ratio of one number of components to the one before, at least."""


@dataclass(frozen=True)
class Score:
    """k-NN `accuracy` (0 to 1), and `silhouette` of the test photos' labels (-1 to 1, None if undefined)."""

    accuracy: float
    silhouette: float | None


@dataclass(frozen=True)
class ComponentScore(Score):
    """The score with a number of components."""

    components: int


@dataclass(frozen=True)
class Evaluation:
    """A run evaluated on a test run; `enough` is the fewest components within one point of the full features.

    `chosen` is the number of components of the run, `width` its number of features; `pixels` scores the raw pixels, None
    if they can't be read. `common_labels` counts the labels of both runs; `no_verdict`: why the accuracies show nothing,
    so that `enough` is None.
    """

    run: str
    test_run: str
    train_images: int
    test_images: int
    labels: int
    weights: str
    neighbours: int
    width: int
    chosen: int
    enough: int | None
    points: tuple[ComponentScore, ...]
    full: Score
    pixels: Score | None
    notes: tuple[str, ...]
    common_labels: int = 0
    no_verdict: str | None = None

    def at(self, components: int) -> ComponentScore | None:
        """Return the score for this number of components, or None if it was not computed."""
        return next((point for point in self.points if point.components == components), None)

    def _repr_html_(self) -> str:
        """Return the evaluation as a notebook shows it, with its caveats."""
        scores: list[tuple[str, Score]] = [(counted(point.components, "component"), point) for point in self.points]
        scores += [(f"all {self.width:,} features", self.full)]
        scores += [("raw pixels", self.pixels)] if self.pixels is not None else []
        verdict = self.no_verdict
        if verdict is None:
            known = counted(self.enough, "component") if self.enough else "no number of components computed"
            verdict = f"Enough to be within one point of all {self.width:,} features: {known}."
        return html_table.table(
            f"{self.test_run} by its nearest neighbours in {self.run}",
            ("with", "accuracy", "silhouette"),
            [(n, f"{s.accuracy:.1%}", "–" if s.silhouette is None else f"{s.silhouette:.3f}") for n, s in scores],
            [verdict, *self.notes],
        )


def evaluate(run: str, test_run: str, storage: Storage | None = None) -> Evaluation:
    """Compare the labels of a test run's photos with those of their nearest neighbours in a run.

    Both are run folders with the same model; the components are those of `run`. Samples at most 20,000 and 5,000 photos,
    evenly by label. Raises ModelError if the models differ, InputError if photos have no labels, MissingExtraError
    without scikit-learn.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "report")
    access = StorageAccess(storage)
    reference, tested = open_fitted_pca(run, access), open_complete(test_run, access)
    check_same_model(reference.run, tested)
    train, test = read_labelled(reference.run, MOST_TRAIN), read_labelled(tested, MOST_TEST)
    full = _score(_scaled(train, reference), _scaled(test, reference), train, test)
    no_verdict = _why_no_verdict(train, test)
    points = _points(
        project(train.features, reference.fitted),
        project(test.features, reference.fitted),
        train,
        test,
        full if no_verdict is None else None,
    )
    pixels, alike, problems = _pixels(reference.run, tested, train, test, access)
    return Evaluation(
        run=run,
        test_run=test_run,
        train_images=len(train.paths),
        test_images=len(test.paths),
        labels=len(set(test.labels)),
        weights=reference.run.record.model.weights,
        neighbours=min(NEIGHBOURS, len(train.paths)),
        width=train.features.shape[1],
        chosen=reference.fitted.k,
        enough=_enough(points, full) if no_verdict is None else None,
        points=points,
        full=full,
        pixels=pixels,
        notes=(
            *overlaps(train, test, alike, hashed=_is_hashed(reference.run) or _is_hashed(tested)),
            *_samples(train, test),
            *problems,
        ),
        common_labels=len(set(train.labels) & set(test.labels)),
        no_verdict=no_verdict,
    )


def _why_no_verdict(train: LabelledFeatures, test: LabelledFeatures) -> str | None:
    """Return why accuracies show nothing: no test photo can be recognised, or none can be mistaken."""
    if not set(train.labels) & set(test.labels):
        return "the runs have no label in common, so no test photo can be recognised"
    if len(set(train.labels)) == 1:
        return f"all photos of the run have the same label ({train.labels[0]}), so none can be mistaken"
    return None


def _points(
    train_scores: Floats, test_scores: Floats, train: LabelledFeatures, test: LabelledFeatures, full: Score | None
) -> tuple[ComponentScore, ...]:
    """Score growing numbers of components, and each number just before the first within one point of `full` (if given)."""

    def scored(k: int) -> ComponentScore:
        score = _score(train_scores[:, :k], test_scores[:, :k], train, test)
        return ComponentScore(score.accuracy, score.silhouette, k)

    points = {k: scored(k) for k in growing(train_scores.shape[1])}
    first = None if full is None else _enough(tuple(points.values()), full)
    if first is not None:
        before = max((k for k in points if k < first), default=0)
        points |= {k: scored(k) for k in range(before + 1, first)}
    return tuple(points[k] for k in sorted(points))


def growing(most: int) -> list[int]:
    """Return the numbers of components to try: 1, 2, 3 …, further and further apart, including 10 and `most`."""
    found, k = {most, *([10] if most >= 10 else [])}, 1.0
    while k < most:
        found.add(round(k))
        k = max(k * GROWTH, k + 1)
    return sorted(found)


def _score(train_values: Floats, test_values: Floats, train: LabelledFeatures, test: LabelledFeatures) -> Score:
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(train.labels)), algorithm="brute").fit(
        train_values, train.labels
    )
    accuracy = float((classifier.predict(test_values) == np.array(test.labels)).mean())
    if not 2 <= len(set(test.labels)) < len(test.labels):
        return Score(accuracy, None)
    return Score(accuracy, float(silhouette_score(test_values, test.labels)))


def _scaled(photos: LabelledFeatures, reference: FittedPca) -> Floats:
    """Return the features centred and scaled as in the fit, so that only the dropped components make a difference."""
    return ((photos.features - reference.fitted.mean) / reference.fitted.scale).astype(np.float32)


def _enough(points: tuple[ComponentScore, ...], full: Score) -> int | None:
    near = [point.components for point in points if point.accuracy >= full.accuracy - POINT - 1e-12]
    return min(near, default=None)


def _pixels(
    run: CompleteRun, tested: CompleteRun, train: LabelledFeatures, test: LabelledFeatures, access: StorageAccess
) -> tuple[Score | None, list[tuple[int, int]], list[str]]:
    """Score the raw pixels and find copies among them; return no score and the reasons if some can't be read."""
    found, problems = [], []
    for of, photos in ((run, train), (tested, test)):
        problem = why_unreadable(of)
        if problem is None:
            try:
                pixels = read_pixels(of, photos.paths, PIXELS, access)
            except FruitscaleError as error:
                problem = error.message
            else:
                found.append(pixels)
                if pixels.missing:
                    problem = f"{pixels.missing:,} of {len(photos.paths):,} photos can't be read again"
        if problem is not None:
            problems.append(f"No score for raw pixels: {of.uri}: {problem}.")
        if not found:
            break
    alike = copies(*found) if len(found) == 2 else []
    if problems:
        return None, alike, problems
    known, asked = (pixels.values.reshape(len(pixels.values), -1).astype(np.float32) for pixels in found)
    return _score(known, asked, train, test), alike, []


def _is_hashed(run: CompleteRun) -> bool:
    return run.plan.features.get("output.paths") == "hashed"


def _samples(train: LabelledFeatures, test: LabelledFeatures) -> Iterator[str]:
    for what, photos in (("training", train), ("test", test)):
        if len(photos.paths) < photos.of:
            yield f"{len(photos.paths):,} of {photos.of:,} {what} photos were sampled, evenly by label."
    unknown = set(test.labels) - set(train.labels)
    if unknown:
        shown = ", ".join(sorted(unknown)[:3]) + (", …" if len(unknown) > 3 else "")
        count = sum(label in unknown for label in test.labels)
        yield f"{count:,} test photos have labels that the run lacks ({shown}): they count as wrong."
