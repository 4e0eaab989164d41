"""fruitscale apply: the PCA of an earlier run, applied to new photos."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from fruitscale.cli.options import (
    ConfigFile,
    DryRun,
    Engine,
    InputUri,
    Json,
    OutputUri,
    Overwrite,
    Quiet,
    Sets,
    show_sources,
)
from fruitscale.cli.run_command import execute_run


def apply(
    pca: Annotated[str, typer.Option("--pca", "-p", metavar="RUN", help="The run whose model and PCA are applied.")],
    engine: Engine = None,
    config: ConfigFile = None,
    input_uri: InputUri = None,
    output_uri: OutputUri = None,
    new_since: Annotated[
        Optional[list[str]],  # noqa: UP045  Typer reads it
        typer.Option(
            "--new-since",
            metavar="RUN",
            help="Only process photos this run does not have. Can be given several times.",
        ),
    ] = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Apply the model and the PCA of an earlier run to new photos; nothing is fitted.

    Model settings you leave out are taken from that run; another model is refused. Run again to resume.
    """
    from fruitscale.config.loading import load
    from fruitscale.errors import FruitscaleError
    from fruitscale.runs.fitted_pca import applied_config
    from fruitscale.storage.residency import StorageAccess

    flags = {
        "engine": engine,
        "input.uri": input_uri,
        "input.new_since": new_since,
        "output.uri": output_uri,
        "output.overwrite": overwrite or None,
    }
    own = load(config, sets or (), flags)  # without the settings of the earlier run
    access = StorageAccess(own.config.storage)
    try:
        given = applied_config(pca, config, access, sets or (), flags)
    except FruitscaleError:
        show_sources(own)
        raise
    show_sources(given)
    execute_run(given, access, dry_run=dry_run, json=json, quiet=quiet)
