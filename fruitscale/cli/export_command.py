"""fruitscale export: a run's components or features for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from fruitscale.cli.options import ConfigFile, Json, Sets, Verbose, loaded

if TYPE_CHECKING:
    from fruitscale.runs.export import Format
    from fruitscale.runs.tables import Column


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder: what was the --output.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="csv, npz, parquet or tensorboard.")],
    output: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option(
            "--output", "-o", metavar="PATH", help="The file, for tensorboard the folder; else named as RUN is."
        ),
    ] = None,
    features: Annotated[bool, typer.Option("--features", help="The features in place of the components.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write a run's components as CSV, npz, one Parquet file, or for TensorBoard's embedding projector."""
    from fruitscale import api
    from fruitscale.cli.screen import number, size

    target = output or Path(f"{run.rstrip('/').rsplit('/', 1)[-1]}{'-' if to == 'tensorboard' else '.'}{to}")
    storage = loaded(config, sets).config.storage
    column: Column = "features" if features else "components"
    done = api.export(run, cast("Format", to), target, column, storage, overwrite)
    if json:
        import json as writer
        from dataclasses import asdict

        typer.echo(writer.dumps(asdict(done), indent=2))
        return
    typer.echo(f"{done.path}: {number(done.rows)} photos, {done.columns} {column}, {size(done.bytes)}")
    for note in done.notes:
        typer.echo(note, err=True)
