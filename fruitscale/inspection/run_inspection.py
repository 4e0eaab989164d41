"""Inspects a run: what the owner of its photos should look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from fruitscale.config.schema import Storage
from fruitscale.errors import FruitscaleError, InputError
from fruitscale.evaluation.vectors import Floats, check_same_model, spelled_alike
from fruitscale.inspection import neighbourhoods
from fruitscale.inspection.copy_groups import CopyPair, copies_between, copies_within, grouped
from fruitscale.inspection.limits import InspectionLimits
from fruitscale.inspection.photo_readings import Readings, read_photos
from fruitscale.inspection.quality_rules import faults
from fruitscale.kernels.moments import project
from fruitscale.runs import html_table
from fruitscale.runs.fitted_pca import FittedPca, open_fitted_pca
from fruitscale.runs.photos import photos_of, why_unreadable
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.run_folder import FEATURES
from fruitscale.storage.residency import StorageAccess

KINDS = {
    "equal_file": "the same file again",
    "copy": "the same photo, compressed or resized again: difference under {copy_difference:g}",
    "test_copy": "a photo of the test run is a copy: difference under {copy_difference:g}",
    "suspect_label": "{label_share:.0%} of the {neighbours} nearest photos, or more, agree on another label",
    "outlier": "unlike its label and all others: {outlier_score:g} deviations or more",
    "blurred": "{blur_score:g} deviations less sharp than its label",
    "dark": "99% of the pixels are darker than {dark:.0%}",
    "light": "95% of the pixels are lighter than {light:.0%}",
    "low_contrast": "the greys span less than {contrast:.0%} of the range",
    "nearly_empty": "under {empty_bits:g} bits of information per pixel",
    "odd_size": "{size_factor:g} times larger or smaller than the median side",
    "odd_aspect": "the short side is under {aspect:.0%} of the long one",
}
"""Each kind of finding, with its limit."""
LARGEST_FIRST = {"suspect_label", "outlier", "blurred", "light", "odd_size"}
FAR = 5
"""The neighbour whose distance says how far a photo is from all others: a few copies don't hide it."""


@dataclass(frozen=True)
class Finding:
    """One photo to look at. `of` is the photo that a copy is of, `voted` the label of the neighbours."""

    kind: str
    path: str
    label: str | None
    value: float
    words: str
    of: str | None = None
    voted: str | None = None


@dataclass(frozen=True)
class Inspection:
    """What was found in a run, by kind and then by how clear it is; `notes` says what could not be looked at."""

    run: str
    test_run: str | None
    input: str
    photos: int
    shown: bool
    limits: InspectionLimits
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def rule(self, kind: str) -> str:
        """Return what is found as this kind, with the limit."""
        return KINDS[kind].format(**asdict(self.limits))

    def _repr_html_(self) -> str:
        """Return the counts as a notebook shows them."""
        rows = [(kind, f"{len(self.of_kind(kind)):,}", self.rule(kind)) for kind in KINDS]
        return html_table.table(f"To look at in {self.run}", ("kind", "photos", "limit"), rows, self.notes)


@dataclass(frozen=True)
class _Inspected:
    """A run's photos by row, with their scores and reconstruction errors."""

    run: CompleteRun
    paths: list[str]
    labels: list[str | None]
    scores: Floats
    errors: Floats


def inspect(
    run: str,
    test_run: str | None = None,
    limits: InspectionLimits | None = None,
    storage: Storage | None = None,
) -> Inspection:
    """Find copies, suspect labels, outliers and bad photos of a run, and its copies in a test run.

    The photos are read again from the run's input, unless its paths are hashed. Raises InputError if the run has no photos,
    ModelError if the test run has another model.
    """
    limits, access = limits or InspectionLimits(), StorageAccess(storage)
    reference = open_fitted_pca(run, access)
    test = None if test_run is None else open_complete(test_run, access)
    if test is not None:
        check_same_model(reference.run, test)
    photos = _read(reference)
    findings, notes = [*_by_features(photos, limits)], []
    readings, problem = _readings(reference.run, photos.paths, access)
    if problem is not None:
        notes.append(f"{run}: {problem}.")
    if readings is not None:
        findings += _copies(photos, readings, limits.copy_difference)
        for fault in faults(readings.photos, photos.labels, limits):
            found = Finding(fault.kind, photos.paths[fault.row], photos.labels[fault.row], fault.value, fault.words)
            findings.append(found)
        if test is not None:
            more, problem = _in_test(photos, readings, test, limits.copy_difference, access)
            findings += more
            notes += [] if problem is None else [f"{test.uri}: {problem}."]
    findings.sort(key=_place)
    uri = reference.run.record.input.uri
    hashed = why_unreadable(reference.run) is not None
    return Inspection(run, test_run, uri, len(photos.paths), not hashed, limits, tuple(findings), tuple(notes))


def _place(finding: Finding) -> tuple[int, str, float]:
    """Return the place of a finding: by kind, copies with what they are copies of, and the clearest first."""
    value = -finding.value if finding.kind in LARGEST_FIRST else finding.value
    return list(KINDS).index(finding.kind), finding.of or "", value


def _read(reference: FittedPca) -> _Inspected:
    fitted = reference.fitted
    paths: list[str] = []
    labels: list[str | None] = []
    scores, errors = [], []
    for part in reference.run.parts(FEATURES):
        projected = project(part.values, fitted)
        left = (part.values - fitted.mean) / fitted.scale - projected @ fitted.components
        paths += part.paths
        labels += map(spelled_alike, part.labels)
        scores.append(projected.astype(np.float32))
        errors.append(np.linalg.norm(left, axis=1))
    if not paths:
        raise InputError(f"{reference.run.uri} has no photos.", "Give a run that has some.")
    return _Inspected(reference.run, paths, labels, np.concatenate(scores), np.concatenate(errors))


def _by_features(photos: _Inspected, limits: InspectionLimits) -> Iterator[Finding]:
    neighbours = neighbourhoods.nearest(photos.scores, max(limits.neighbours, FAR))
    if not neighbours.distances.shape[1]:
        return
    votes = neighbourhoods.votes(
        neighbourhoods.NearbyRows(neighbours.rows[:, : limits.neighbours], neighbours.distances), photos.labels
    )
    for path, label, vote in zip(photos.paths, photos.labels, votes, strict=True):
        if label is not None and vote is not None and vote.label != label and vote.share >= limits.label_share:
            words = f"{vote.share:.0%} of its neighbours are {vote.label}"
            yield Finding("suspect_label", path, label, vote.share, words, voted=vote.label)
    far = neighbours.distances[:, min(FAR, neighbours.distances.shape[1]) - 1]
    distant = neighbourhoods.robust_scores(far, photos.labels)
    unlike = neighbourhoods.robust_scores(photos.errors, photos.labels)
    for row, score in enumerate(np.maximum(distant, unlike)):
        if score < limits.outlier_score:
            continue
        what = "further from other photos" if distant[row] >= unlike[row] else "worse reconstructed"
        words = f"{score:.1f} deviations {what} than its label"
        yield Finding("outlier", photos.paths[row], photos.labels[row], float(score), words)


def _readings(run: CompleteRun, paths: Sequence[str], access: StorageAccess) -> tuple[Readings | None, str | None]:
    """Return the photos, and what is missing of them in words."""
    problem = why_unreadable(run)
    if problem is not None:
        return None, f"no copies or bad photos were looked for: {problem}"
    try:
        readings = read_photos(run, paths, run.record.model.input_size, access)
    except FruitscaleError as error:
        return None, f"no copies or bad photos were looked for: {error.message.rstrip('.')}"
    missing = int((~readings.readable).sum())
    return readings, f"{missing:,} of {len(paths):,} photos can't be read again" if missing else None


def _copies(photos: _Inspected, readings: Readings, limit: float) -> Iterator[Finding]:
    pairs = list(copies_within(readings, limit))
    sizes = [photo.size for photo in photos_of(photos.run, photos.paths)]
    differences: dict[int, CopyPair] = {}
    for pair in pairs:
        for row in (pair.row, pair.other):
            known = differences.get(row)
            differences[row] = pair if known is None or pair.difference < known.difference else known
    for kept, *others in grouped(pairs, sizes):
        for row in others:
            digests = {readings.photos[i].digest for i in (kept, row)}  # type: ignore[union-attr]
            found = Finding(
                "copy", photos.paths[row], photos.labels[row], differences[row].difference, "", photos.paths[kept]
            )
            if len(digests) == 1:
                yield replace(found, kind="equal_file", value=0.0, words="equal, byte for byte")
            else:
                yield replace(found, words=f"difference {found.value:.2f}")


def _in_test(
    photos: _Inspected, readings: Readings, test: CompleteRun, limit: float, access: StorageAccess
) -> tuple[list[Finding], str | None]:
    paths = [path for part in test.parts(FEATURES) for path in part.paths]
    others, problem = _readings(test, paths, access)
    found: dict[int, CopyPair] = {}
    for pair in copies_between(readings, others, limit) if others is not None else ():
        if pair.row not in found or pair.difference < found[pair.row].difference:
            found[pair.row] = pair
    findings = [
        Finding(
            "test_copy", photos.paths[row], photos.labels[row], pair.difference,
            "equal, byte for byte" if pair.equal else f"difference {pair.difference:.2f}", paths[pair.other],
        )
        for row, pair in found.items()
    ]  # fmt: skip
    return findings, problem
