"""Writes the page of similar photos: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fruitscale.config import loading
from fruitscale.errors import FruitscaleError, StorageError
from fruitscale.kernels.images import Pixels
from fruitscale.report import html_page
from fruitscale.report.run_page import shortened
from fruitscale.report.thumbnails import as_jpeg, thumbnails
from fruitscale.runs.photo_lookup import photos_of
from fruitscale.runs.photos import why_unreadable
from fruitscale.runs.reader import CompleteRun
from fruitscale.search.similar_result import SimilarPhotos
from fruitscale.storage.residency import StorageAccess

MOST_BYTES = 4_000_000
"""Of all thumbnails together."""


@dataclass(frozen=True)
class PhotoCard:
    """A photo on the page; `thumb` is the number of its thumbnail, None without one."""

    path: str
    label: str | None
    distance: str | None
    thumb: int | None


def write_page(
    found: SimilarPhotos, pixels: Pixels | None, run: CompleteRun, access: StorageAccess, path: str | Path
) -> None:
    """Write the page; `pixels` are those of a photo that is not in the run.

    With hashed paths, the page shows no photo and no real name. Raises MissingExtraError without Bokeh and Jinja,
    StorageError if the file can't be written.
    """
    html_page.check_installed()
    is_named = why_unreadable(run) is None
    own = [found.path] if found.path is not None else []
    made, problem = _thumbnails(run, [*own, *(photo.path for photo in found.photos)], access) if is_named else ([], "")
    if pixels is not None and is_named:
        made = [as_jpeg(pixels, MOST_BYTES), *made]
    thumbs = [image for image in made if image]
    numbers = iter(_numbers(made) if made else [None] * (1 + len(found.photos)))
    name = shortened(found.photo) if is_named else found.path or "(not shown)"
    asked = PhotoCard(name, found.label, None, next(numbers))
    cards = [
        PhotoCard(shortened(photo.path), photo.label, f"{photo.distance:#.4g}", number)
        for photo, number in zip(found.photos, numbers, strict=True)
    ]
    facts = {"title": f"Similar to {name}", "found": found, "asked": asked, "cards": cards, "is_named": is_named}
    _write(html_page.render("similar.html", {**facts, "problem": problem}, {"thumbs": thumbs}, {}), Path(path))


def _thumbnails(run: CompleteRun, paths: list[str], access: StorageAccess) -> tuple[list[str], str]:
    """Return a thumbnail of each photo, empty where there is none, and why some are missing."""
    settings = loading.from_mapping(run.plan.config).images
    try:
        made = thumbnails(run.record.input.uri, photos_of(run, paths), settings, access, MOST_BYTES)
    except FruitscaleError as error:
        return [""] * len(paths), f"No thumbnails: {error.message}"
    missing = made.count("")
    where = f"are no longer in {run.record.input.uri}, or have changed."
    return made, f"{missing} of {len(made)} photos {where}" if missing else ""


def _numbers(made: Sequence[str]) -> list[int | None]:
    """Return the number of each thumbnail among those that exist."""
    counted = 0
    numbers: list[int | None] = []
    for image in made:
        numbers.append(counted if image else None)
        counted += bool(image)
    return numbers


def _write(content: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}.", "Choose another --page.") from None
