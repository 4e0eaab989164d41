"""fruitscale erase: erase photos from a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.api import EraseResult


def erase(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder (its --output).")],
    path: Annotated[
        Optional[list[str]],  # noqa: UP045  Typer reads it
        typer.Option(
            "--path",
            metavar="PATH",
            help="A photo, as in the run's manifest.parquet. Can be given several times.",
        ),
    ] = None,
    path_p: Annotated[Optional[list[str]], typer.Option("-p", hidden=True)] = None,  # noqa: UP045  its earlier short name
    label: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--label", metavar="LABEL", help="All photos with this label."),
    ] = None,
    matching: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--matching", metavar="GLOB", help="All photos whose path matches this glob, ignoring case."),
    ] = None,
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

    storage = load_config(config, sets).config.storage
    with print_waits():
        done = api.erase(run, [*(path or ()), *(path_p or ())], label, matching, refit, storage, dry_run)
    if json:
        print_json(done)
    else:
        _show(done)
    if done.page_problem:
        echo(f"Warning: report.html was removed, but could not be rewritten: {done.page_problem}", err=True)
    if done.versions_remaining:
        echo(_versions_warning(done), err=True)


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
