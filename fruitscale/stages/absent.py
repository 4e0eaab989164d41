"""Reads photos, and recognises those that were away for a moment: such a reject is looked at again."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fruitscale.errors import (
    ArchivedObjectError,
    ChangedObjectError,
    InputError,
    MissingObjectError,
    StorageError,
    UnansweredObjectError,
)
from fruitscale.kernels.images import Rejection
from fruitscale.runs.parts import Reject
from fruitscale.storage.folder_listing import UNADDRESSABLE
from fruitscale.storage.listing import Photo
from fruitscale.storage.store import LocalStore, Store

ABSENT = "changed"
"""The reason of photos that were gone, another version or too short when they were read."""
UNANSWERED = "unanswered"
ATTEMPTS, WAIT_SECONDS = 4, 0.1
"""Reads of a photo that comes back too short, and the wait before the second one, doubled for each one after it."""


def read_photo(source: Store, photo: Photo) -> bytes | Rejection:
    """Return a photo's content, or why it has none. Raises InputError if the input can't be read."""
    if photo.version == UNADDRESSABLE:
        return Rejection("name", "it can't be read by its name")
    try:
        return _read_whole(source, photo)
    except MissingObjectError:
        if isinstance(source, LocalStore) and not source.root.is_dir():
            raise InputError(
                f"The input {source.root} is gone.", "Mount it again, then run the same command again: it resumes."
            ) from None
        return Rejection(ABSENT, "it is gone since it was listed")
    except ChangedObjectError:
        return Rejection(ABSENT, "it changed since it was listed")
    except ArchivedObjectError:
        return Rejection("archived", "it is in an archive class of S3: restore it, then run again")
    except UnansweredObjectError:
        return Rejection(UNANSWERED, "the store answers, but not for this object")
    except StorageError as error:
        raise InputError(error.message, "Fix that, then run the same command again: it resumes.") from None


def _read_whole(source: Store, photo: Photo) -> bytes | Rejection:
    """Read a photo; read it again if the content is shorter than was listed."""
    for attempt in range(ATTEMPTS):
        content = source.read(photo.path, photo.version)
        if len(content) >= photo.size:
            return content
        if attempt + 1 < ATTEMPTS:
            source.retries.reads += 1
            time.sleep(WAIT_SECONDS * 2**attempt)
    return Rejection(ABSENT, f"{len(content):,} bytes were read of the {photo.size:,} that were listed")


def count_absent(rejects: Iterable[Reject]) -> int:
    """Return how many rejects may come back."""
    return sum(reject.reason in (ABSENT, UNANSWERED) for reject in rejects)


def came_back(source: Store, photos: Iterable[Photo], rejects: Iterable[Reject]) -> bool:
    """Return whether one of these photos that was absent can be read now. Raises InputError if the input can't be read."""
    absent = {reject.path for reject in rejects if reject.reason in (ABSENT, UNANSWERED)}
    return any(isinstance(read_photo(source, photo), bytes) for photo in photos if photo.shown in absent)
