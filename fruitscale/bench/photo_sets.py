"""Folders with a given number of photos, as links: a subset of the input, or all of it with repeats."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fruitscale.config.schema import Input, Storage
from fruitscale.errors import InputError, UsageError
from fruitscale.storage.listing import list_photos
from fruitscale.uris import is_s3, local_path


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of `images` photos, of which `distinct` are different files."""

    folder: Path
    images: int
    distinct: int

    @property
    def note(self) -> str | None:
        """Return a note if photos are repeated, else None."""
        if self.images == self.distinct:
            return None
        return f"{self.images:,} images: {self.distinct:,} photos, repeated under other names"


def list_paths(source: Input) -> list[str]:
    """Return the sorted paths of an input's photos. Raises InputError if there are none, UsageError for S3."""
    if is_s3(source.uri):
        raise UsageError(
            f"{source.uri}: the bench links photos into folders, which is not possible on S3.",
            "Copy some photos to a disk and give that folder: --input.",
        )
    if not source.uri:
        raise UsageError("input.uri is not set.", "Give --input, or input.uri in the config.")
    paths = sorted(photo.path for photo in list_photos(source, Storage()))
    if not paths:
        raise InputError(f"There are no photos in {source.uri}.", "Check input.include and input.exclude.")
    return paths[: source.limit]


def link_photos(root_uri: str, paths: Sequence[str], images: int, folder: Path) -> PhotoFolder:
    """Link `images` photos into a folder, evenly spread over the labels, with the same subfolders as the input."""
    root, created = local_path(root_uri), set[Path]()
    for number, path in enumerate(spread(paths, images)):
        again, name = number // len(paths), PurePosixPath(path)
        label = folder / str(name.parent)
        if label not in created:
            label.mkdir(parents=True, exist_ok=True)
            created.add(label)
        _link(root / path, label / (f"again-{again}-{name.name}" if again else name.name))
    return PhotoFolder(folder, images, min(images, len(paths)))


def spread(paths: Sequence[str], count: int) -> list[str]:
    """Return `count` evenly spread paths; if there are fewer, all of them, repeated."""
    if count <= len(paths):
        return [paths[i * len(paths) // count] for i in range(count)]
    return [paths[i % len(paths)] for i in range(count)]


def _link(source: Path, target: Path) -> None:
    """Hard-link a photo; where that fails (another disk), make a symbolic link or a copy."""
    for method in (os.link, os.symlink, shutil.copyfile):
        try:
            method(source.resolve(), target)
        except FileExistsError:
            raise
        except OSError:
            continue
        return
    raise InputError(f"The photo {source} can't be linked or copied.", "Check the permissions of the temporary folder.")
