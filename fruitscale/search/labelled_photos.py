"""Gives new photos the labels of their nearest neighbours in a run. Nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fruitscale.config import loading
from fruitscale.config.loading import Given
from fruitscale.config.schema import Config
from fruitscale.display.events import Observer
from fruitscale.display.notebook import notebook_observer
from fruitscale.errors import InputError, UsageError
from fruitscale.evaluation.vectors import check_same_model, spelled_alike
from fruitscale.kernels.moments import project
from fruitscale.pipeline.run import run as run_pipeline
from fruitscale.runs import html_table
from fruitscale.runs.fitted_pca import FittedPca, applied_config, open_fitted_pca
from fruitscale.runs.reader import CompleteRun, open_complete
from fruitscale.runs.run_folder import FEATURES, REDUCED, RunFolder
from fruitscale.search.held_out import DistanceLimits, HeldOutLabel, Vote, calibrate, votes_of
from fruitscale.search.run_search import By, batched, check_neighbours, place_of, search_run
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.scratch import ScratchFolder
from fruitscale.uris import is_s3, local_path

NEIGHBOURS = 5
QUANTILE = 0.95
QUERIES = 16_384
"""New photos compared at once: their features are in memory together."""
SHOWN = 20


@dataclass(frozen=True)
class PhotoLabel:
    """A new photo and the `label` of its neighbours, None if it is unknown: farther from the run than `limit`.

    `voted` is the label of most neighbours in any case, `share` their fraction, `distance` that of the `nearest` one;
    `own` is the photo's own label among the new photos, which is not used.
    """

    path: str
    label: str | None
    voted: str
    share: float
    distance: float
    limit: float
    nearest: str
    own: str | None


@dataclass(frozen=True)
class OwnLabels:
    """The new photos whose own label the run has: their number, and how many have neighbours that vote for it.

    `given` counts those near enough to be given a label, `right` those given their own. `others` counts the photos whose own
    label the run doesn't have, `others_unknown` those of them that are unknown.
    """

    photos: int
    voted_right: int
    given: int
    right: int
    others: int
    others_unknown: int


@dataclass(frozen=True)
class Classification:
    """The photos of `new`, labelled by their `neighbours` nearest in `run`; those that can't be read are `rejected`.

    `labels` describes the run's labels by the `held_out` photos; `quantile` of these are near enough to be given a label.
    """

    run: str
    new: str
    by: str
    width: int
    neighbours: int
    quantile: float
    unknown: int
    rejected: int
    photos: tuple[PhotoLabel, ...]
    held_out: int
    labels: tuple[HeldOutLabel, ...]
    own: OwnLabels

    def _repr_html_(self) -> str:
        """Return the first photos as a notebook shows them."""
        rows = [
            (p.path, p.label or "unknown" if p.label != "" else "(empty)", f"{p.share:.0%}", f"{p.distance:#.4g}")
            for p in self.photos[:SHOWN]
        ]
        rest = len(self.photos) - SHOWN
        notes = [f"{self.unknown:,} of {len(self.photos):,} photos are unknown."]
        notes += [f"{rest:,} more photos are in .photos."] if rest > 0 else []
        title = f"{self.new}, labelled by {self.neighbours} neighbours in {self.run}"
        return html_table.table(title, ("path", "label", "share", "distance"), rows, notes)


def classify(
    run: str,
    new: str,
    k: int = NEIGHBOURS,
    by: By = "features",
    unknown: float = QUANTILE,
    config: Given | None = None,
    observer: Observer | None = None,
    sets: Sequence[str] = (),
) -> Classification:
    """Label the photos of a run, or of a folder, by the k nearest photos of a complete run with labels.

    A folder of photos goes through the run's own model first, by local processes and into a temporary run. A photo is
    unknown if its nearest neighbour is farther than the quantile `unknown` of the distances of the label's own photos that
    were held out. With `by` components, less is unknown: they leave out what sets a photo apart from all of the run's.
    `config`, `sets` (as --set) and `observer` are for that temporary run, as for `run`, and for the storage. Raises
    ModelError if the models differ, InputError if the run has photos without a label.
    """
    check_neighbours(k)
    if not 0 < unknown <= 1:
        raise UsageError(f"{unknown} is not a quantile.", "Give --unknown a number above 0, up to 1.")
    place, access = place_of(by), StorageAccess(_as_config(config, sets).storage)
    opened = open_fitted_pca(run, access)
    with _opened(run, new, access, config, sets, observer) as later:
        check_same_model(opened.run, later)
        limits = calibrate(opened.run, place, k, unknown)
        photos = tuple(_labelled(opened, later, place, k, limits))
        return Classification(
            run=run,
            new=new,
            by=by,
            width=opened.fitted.k if place == REDUCED else opened.fitted.mean.size,
            neighbours=k,
            quantile=unknown,
            unknown=sum(photo.label is None for photo in photos),
            rejected=later.record.images.rejected,
            photos=photos,
            held_out=limits.photos,
            labels=limits.labels,
            own=_own_labels(photos, limits),
        )


def _as_config(given: Given | None, sets: Sequence[str]) -> Config:
    return loading.load(given.model_dump(mode="json") if isinstance(given, Config) else given, sets).config


@contextmanager
def _opened(
    run: str, new: str, access: StorageAccess, config: Given | None, sets: Sequence[str], observer: Observer | None
) -> Iterator[CompleteRun]:
    """Yield the run of the new photos: the one in this folder, else a temporary one of the photos in it."""
    store = access.open(new)
    if not is_s3(new) and not local_path(new).is_dir():
        raise InputError(f"{new} does not exist.", "Give the folder of a run, or a folder of photos.")
    if RunFolder(store).read_plan() is not None:
        yield open_complete(new, access)
        return
    with ScratchFolder("classify") as folder, notebook_observer(observer) as watching:
        flags = {
            "engine": "local",
            "input.uri": new,
            "output.uri": str(folder / "run"),
            "output.paths": "plain",
            "report": False,
        }
        applied = applied_config(run, config, access, sets, flags).config
        run_pipeline(applied.model_copy(update={"cluster": None}), watching, access)
        yield open_complete(str(folder / "run"), access)


def _labelled(
    opened: FittedPca, later: CompleteRun, place: str, k: int, limits: DistanceLimits
) -> Iterator[PhotoLabel]:
    for part in batched(later.parts(FEATURES), QUERIES):
        values = project(part.values, opened.fitted) if place == REDUCED else part.values
        votes = votes_of(search_run(opened.run, place, values, k))
        for path, own, vote in zip(part.paths, part.labels, votes, strict=True):
            if vote is not None:
                yield _photo_label(path, spelled_alike(own), vote, limits.limit_of(vote.label))


def _photo_label(path: str, own: str | None, vote: Vote, limit: float) -> PhotoLabel:
    return PhotoLabel(
        path=path,
        label=vote.label if vote.distance <= limit else None,
        voted=vote.label,
        share=vote.share,
        distance=vote.distance,
        limit=limit,
        nearest=vote.nearest,
        own=own,
    )


def _own_labels(photos: Sequence[PhotoLabel], limits: DistanceLimits) -> OwnLabels:
    known = {label.label for label in limits.labels}
    ours = [photo for photo in photos if photo.own in known]
    others = [photo for photo in photos if photo.own not in known]
    return OwnLabels(
        photos=len(ours),
        voted_right=sum(photo.voted == photo.own for photo in ours),
        given=sum(photo.label is not None for photo in ours),
        right=sum(photo.label == photo.own for photo in ours),
        others=len(others),
        others_unknown=sum(photo.label is None for photo in others),
    )
