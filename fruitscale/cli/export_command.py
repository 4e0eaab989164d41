"""fruitscale export: components or features of a run, for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.config.schema import Storage
    from fruitscale.runs.export import Format
    from fruitscale.runs.tables import Column


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder (its --output).")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="csv, npz, parquet, tensorboard or athena.")],
    output: Annotated[
        Optional[str],  # noqa: UP045  Typer reads it
        typer.Option(
            "--output",
            "-o",
            metavar="URI",
            help="The file, or s3:// object, to write (tensorboard: folder). Default: named after RUN.",
        ),
    ] = None,
    features: Annotated[bool, typer.Option("--features", help="Export features instead of components.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Write a run's components as CSV, npz, one Parquet file, or for TensorBoard's embedding projector.

    TensorBoard's projector shows the first 100,000 photos at most.

    --to athena prints the SQL that makes tables of a run on S3 for Athena and Glue; nothing is copied.
    In CSV, paths and labels that a spreadsheet would run as a formula, such as =1+2, begin with an apostrophe.
    """
    from fruitscale import api
    from fruitscale.cli.screen import counted, size

    storage = load_config(config, sets).config.storage
    if to == "athena":
        _print_statements(run, storage, output, as_json=json)
        return
    target = output or f"{run.rstrip('/').rsplit('/', 1)[-1]}{'-' if to == 'tensorboard' else '.'}{to}"
    column: Column = "features" if features else "components"
    done = api.export(run, cast("Format", to), target, column, storage, overwrite)
    if json:
        print_json(done)
        return
    echo(f"{done.path}: {counted(done.rows, 'photo')}, {done.columns} {column}, {size(done.bytes)}")
    for note in done.notes:
        echo(note, err=True)


def _print_statements(run: str, storage: Storage, output: str | None, *, as_json: bool) -> None:
    from fruitscale.errors import UsageError
    from fruitscale.runs import athena

    if output is not None:
        raise UsageError("--to athena writes no file: it prints SQL.", f"Redirect it: fruitscale export … > {output}")
    sql = athena.statements(run, storage)
    if as_json:
        print_json({"sql": sql})
    else:
        echo(sql, nl=False)
