"""What may be replaced or removed on disk: only regular files that fruitscale wrote, never what a link points to."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fruitscale.errors import OutputError

SHOWN = 3
"""Files that a message names."""


def check_replaceable(target: Path, folder_files: Collection[str] = ()) -> None:
    """Raise OutputError unless a target may be replaced: a regular file, or a folder of `folder_files` only.

    Links, devices, and folders with any other file in them are refused; what is missing may be written.
    """
    if target.is_symlink():
        raise OutputError(f"{target} is a link.", "Choose another --output, or remove the link yourself.")
    if not target.exists() or (target.is_file() and not folder_files):
        return
    if not folder_files or not target.is_dir():
        kind = "a folder" if target.is_dir() else "not a regular file"
        raise OutputError(f"{target} is {kind}, which an export does not replace.", "Choose another --output.")
    foreign = sorted(path.name for path in target.iterdir() if path.name not in folder_files or not _is_plain(path))
    if foreign:
        names = ", ".join(foreign[:SHOWN]) + (", …" if len(foreign) > SHOWN else "")
        raise OutputError(
            f"{target} contains files that fruitscale did not write ({names}).",
            "Choose another --output: nothing in this folder was changed.",
        )


def replace(made: Path, target: Path) -> None:
    """Move a file, or the files of a folder, to a target that `check_replaceable` accepted."""
    if not made.is_dir() or not target.is_dir():
        made.replace(target)
        return
    for old in target.iterdir():
        if not (made / old.name).exists():
            old.unlink()
    for path in made.iterdir():
        path.replace(target / path.name)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
