"""Finds the photos of a run that are most similar to one: exactly, by all components or all features."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Storage
from fruitscale.errors import InputError
from fruitscale.kernels.images import Pixels
from fruitscale.kernels.moments import project
from fruitscale.runs.fitted_pca import FittedPca, open_fitted_pca
from fruitscale.runs.parts import Part
from fruitscale.runs.photo_lookup import LocatedPhoto, part_row, reject_of
from fruitscale.runs.run_folder import REDUCED
from fruitscale.search.exact_neighbours import NOBODY, Rows
from fruitscale.search.photo_features import locate_or_file, new_photo
from fruitscale.search.run_search import By, check_neighbours, place_of, search_run
from fruitscale.search.similar_page import write_page
from fruitscale.search.similar_result import SimilarPhoto, SimilarPhotos
from fruitscale.storage.residency import StorageAccess

NEIGHBOURS = 20


@dataclass(frozen=True)
class Query:
    """A photo to compare: its vector (1, width), and its place in the run if it has one."""

    values: NDArray[np.float32]
    path: str | None = None
    label: str | None = None
    pixels: Pixels | None = None
    notes: tuple[str, ...] = ()


def similar(
    run: str,
    photo: str,
    k: int = NEIGHBOURS,
    by: By = "components",
    page: str | Path | None = None,
    storage: Storage | None = None,
    exported: str | None = None,
) -> SimilarPhotos:
    """Return the k photos of a complete run that are nearest to a photo, exactly.

    `photo` is a path of the run, or else a file or s3:// URI, which goes through the run's own model and, by components, its
    PCA; `exported` is a model file for that. With `page`, also write an HTML page that shows the photos. Raises InputError
    if there is no such photo, ModelError if the run's model is needed and unavailable.
    """
    check_neighbours(k)
    place, access = place_of(by), StorageAccess(storage)
    opened = open_fitted_pca(run, access)
    query = _query(opened, photo, place, access, exported)
    began = time.perf_counter()
    found = search_run(
        opened.run, place, query.values, k, np.zeros(1, np.int64), lambda _, part: _groups(part, query.path)
    )
    seconds = time.perf_counter() - began
    nearest = found.neighbours
    pairs = zip(nearest.rows[0].tolist(), nearest.distances[0].tolist(), strict=True)
    result = SimilarPhotos(
        run=run,
        photo=photo,
        path=query.path,
        label=query.label,
        by=by,
        width=query.values.shape[1],
        compared=found.of - (query.path is not None),
        seconds=seconds,
        photos=tuple(SimilarPhoto(*found.names[row], distance) for row, distance in pairs if row >= 0),
        notes=query.notes,
    )
    if page is not None:
        write_page(result, query.pixels, opened.run, access, page)
    return result


def _query(opened: FittedPca, photo: str, place: str, access: StorageAccess, exported: str | None) -> Query:
    located = locate_or_file(opened.run, photo)
    if located is not None:
        return _own_query(opened, located, place)
    new = new_photo(opened.run, photo, access, exported)
    values = project(new.features, opened.fitted) if place == REDUCED else new.features
    return Query(values, pixels=new.pixels, notes=new.notes)


def _own_query(opened: FittedPca, located: LocatedPhoto, place: str) -> Query:
    path = located.photo.path
    found = part_row(opened.run, place, located)
    if found is None:
        reject = reject_of(opened.run, located)
        reason = f": {reject.reason}" if reject else ""
        raise InputError(f"{path} is a reject of {opened.run.uri}, without features{reason}.", "Give another photo.")
    return Query(found.part.values[found.row : found.row + 1], path, located.photo.label)


def _groups(part: Part, path: str | None) -> Rows:
    """Return group 0, the query's, for the photo itself."""
    groups = np.full(len(part.paths), NOBODY, np.int64)
    if path is not None and path in part.paths:
        groups[part.paths.index(path)] = 0
    return groups
