"""Lists a run's photos before its machines are requested."""

from __future__ import annotations

from dataclasses import dataclass

from fruitscale.config.schema import Config
from fruitscale.display.events import Observer
from fruitscale.errors import StorageError
from fruitscale.pipeline.input_listing import list_input
from fruitscale.pipeline.progress import RunProgress
from fruitscale.storage.residency import StorageAccess


@dataclass(frozen=True)
class PhotoCount:
    """The number of photos, or why they could not be listed here."""

    images: int | None
    problem: str = ""


def count(config: Config, observer: Observer = lambda event: None) -> PhotoCount:
    """List the photos of a settled config. The machines list them again, with a role that may read them.

    Raises NothingNewError if there are no new photos; InputError or OutputError if the run would certainly fail.
    """
    try:
        photos = list_input(config, StorageAccess(config.storage), RunProgress("launch", observer))
    except StorageError as error:
        return PhotoCount(None, " ".join(filter(None, (error.message, error.hint))))
    return PhotoCount(photos.images)
