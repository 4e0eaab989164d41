"""fruitscale erase: take photos out of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.options import ConfigFile, Json, Sets, Verbose, loaded

if TYPE_CHECKING:
    from fruitscale.api import EraseResult


def erase(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder: what was the --output.")],
    path: Annotated[
        Optional[list[str]],  # noqa: UP045  Typer reads it
        typer.Option("--path", "-p", metavar="PATH", help="A photo, as in the run's manifest.parquet. Repeat."),
    ] = None,
    label: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--label", metavar="LABEL", help="All photos of a label."),
    ] = None,
    matching: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--matching", metavar="GLOB", help="All photos whose path a glob matches, in any case."),
    ] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Fit the PCA again, without them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Erase photos from a run: from its features, scores, manifest and rejects, for good.

    The photos themselves are left where they are. Interrupted, the same command finishes it.
    """
    from fruitscale import api
    from fruitscale.cli.screen import print_waits

    storage = loaded(config, sets).config.storage
    with print_waits():
        done = api.erase(run, path or (), label, matching, refit, storage, dry_run)
    if json:
        import json as writer
        from dataclasses import asdict

        typer.echo(writer.dumps(asdict(done), indent=2))
    else:
        _show(done)
    if done.page_problem:
        typer.echo(f"Warning: report.html was removed, and could not be made anew: {done.page_problem}", err=True)
    if done.versions_remaining:
        typer.echo(_versions_warning(done), err=True)


def _show(done: EraseResult) -> None:
    from fruitscale.cli.screen import number, out, pairs

    rejects = f", {number(done.rejects)} of them rejects" if done.rejects else ""
    rows = [
        ("photos", f"{number(done.photos)}{rejects}; {number(done.remaining)} are left"),
        ("rewritten", ", ".join(f"{number(n)} of {of}" for of, n in done.files.items()) or "nothing"),
        ("removed", ", ".join(done.removed) or "nothing"),
        ("PCA", _pca(done)),
    ]
    if done.page:
        rows.append(("page", "report.html made anew"))
    if done.versions_removed:
        rows.append(("old versions", f"{number(done.versions_removed)} removed"))
    if done.receipt:
        rows.append(("receipt", f"{done.uri.rstrip('/')}/{done.receipt}"))
    out().print(pairs(_title(done), rows))


def _title(done: EraseResult) -> str:
    if done.dry_run:
        return f"This would be erased from {done.uri}"
    return f"Erased from {done.uri}" + (", which had been interrupted" if done.resumed else "")


def _pca(done: EraseResult) -> str:
    if done.refit:
        return f"fitted again on what is left: {done.components} components"
    return (
        "as it was: fitted with the erased photos too, of which it keeps sums over all photos only. "
        f"To fit it without them: fruitscale erase {done.uri} --refit"
    )


def _versions_warning(done: EraseResult) -> str:
    return (
        f"Warning: old versions of {done.versions_remaining} objects remain in the bucket, and the erased photos may be in "
        "them: s3:ListBucketVersions and s3:DeleteObjectVersion are needed to remove them. Remove them with who may, or "
        "with a lifecycle rule (NoncurrentVersionExpiration)."
    )
