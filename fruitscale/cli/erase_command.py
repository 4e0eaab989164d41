"""fruitscale erase: erase photos from a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.api import EraseResult, PhotoCopies


Paths = Annotated[
    Optional[list[str]],  # noqa: UP045  Typer reads it
    typer.Option(
        "--path", metavar="PATH", help="A photo, as in the run's manifest.parquet. Can be given several times."
    ),
]
Label = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--label", metavar="LABEL", help="All photos with this label."),
]
Matching = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--matching", metavar="GLOB", help="All photos whose path matches this glob, ignoring case."),
]
Like = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--like",
        metavar="PHOTO",
        help="A photo and its copies under other names: a path of the run, or a file. They are listed first.",
    ),
]


def erase(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder (its --output).")],
    path: Paths = None,
    path_p: Annotated[Optional[list[str]], typer.Option("-p", hidden=True)] = None,  # noqa: UP045  its earlier short name
    label: Label = None,
    matching: Matching = None,
    like: Like = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --like: erase without asking.")] = False,
    refit: Annotated[bool, typer.Option("--refit", help="Refit the PCA without them.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would be done, and change nothing.")
    ] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Erase photos from a run: from its features, scores, manifest and rejects, permanently.

    The photos themselves are not touched. If interrupted, run the same command again to finish.
    """
    from fruitscale import api
    from fruitscale.cli.screen import print_waits

    given = load_config(config, sets).config
    paths, copies = [*(path or ()), *(path_p or ())], None
    with print_waits():
        if like is not None:
            _check_like(paths, label, matching)
            copies = api.copies_of(run, like, given.storage, given.model.exported)
            _list_copies(copies, ask=not (yes or dry_run))
            paths = [copy.path for copy in copies.copies]
        done = api.erase(run, paths, label, matching, refit, given.storage, dry_run)
    if json:
        print_json(done if copies is None else {**asdict(done), "copies": asdict(copies)["copies"]})
    else:
        _show(done)
    if done.page_problem:
        echo(f"Warning: report.html was removed, but could not be rewritten: {done.page_problem}", err=True)
    if done.versions_remaining:
        echo(_versions_warning(done), err=True)


def _check_like(paths: Sequence[str], label: str | None, matching: str | None) -> None:
    from fruitscale.errors import UsageError

    if paths or label is not None or matching is not None:
        raise UsageError("--like selects photos by itself.", "Leave out --path, --label and --matching.")


def _list_copies(found: PhotoCopies, *, ask: bool) -> None:
    """List a photo's copies on stderr; if `ask`, go on only with the user's consent."""
    from fruitscale.cli.screen import counted
    from fruitscale.errors import InputError, UsageError

    if not found.copies:
        raise InputError(f"{found.run} has no copy of {found.photo}, so nothing is erased.", _not_compared(found))
    echo(f"{counted(len(found.copies), 'photo')} of {found.run}:", err=True)
    for copy in found.copies:
        echo(f"  {copy.path} ({copy.why})", err=True)
    for note in found.notes:
        echo(f"Note: {note}.", err=True)
    if ask and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("Nothing was erased.", "Check the list, then erase them: add --yes")
    if ask and not typer.confirm("Erase them?", err=True):
        raise typer.Exit(1)


def _not_compared(found: PhotoCopies) -> str:
    return f"Not compared: {'; '.join(found.notes)}." if found.notes else "Give another photo."


def _show(done: EraseResult) -> None:
    from fruitscale.cli.screen import number, out, pairs

    rejects = f", {number(done.rejects)} of them rejects" if done.rejects else ""
    rows = [
        ("photos", f"{number(done.photos)}{rejects}; {number(done.remaining)} remain"),
        ("rewritten", ", ".join(f"{number(n)} of {of}" for of, n in done.files.items()) or "nothing"),
        ("removed", ", ".join(done.removed) or "nothing"),
        ("PCA", _pca(done)),
    ]
    if done.page:
        rows.append(("page", "report.html rewritten"))
    if done.versions_removed:
        rows.append(("old versions", f"{number(done.versions_removed)} removed"))
    if done.receipt:
        rows.append(("receipt", f"{done.uri.rstrip('/')}/{done.receipt}"))
    out().print(pairs(_title(done), rows))


def _title(done: EraseResult) -> str:
    if done.dry_run:
        return f"Would be erased from {done.uri}"
    return f"Erased from {done.uri}" + (" (finishing an interrupted erasure)" if done.resumed else "")


def _pca(done: EraseResult) -> str:
    if done.refit:
        return f"refitted on the remaining photos: {done.components} components"
    return (
        "unchanged: it was fitted on the erased photos too, of which it holds only sums over all photos. "
        f"To refit without them: fruitscale erase {done.uri} --refit"
    )


def _versions_warning(done: EraseResult) -> str:
    return (
        f"Warning: old versions of {done.versions_remaining} objects remain in the bucket, and the erased photos may be in "
        "them. Removing them needs s3:ListBucketVersions and s3:DeleteObjectVersion: run the command with a role that has "
        "them, or use a lifecycle rule (NoncurrentVersionExpiration)."
    )
