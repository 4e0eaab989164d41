"""fruitscale apply: new photos into the space of an earlier run."""

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
    Verbose,
    loaded,
)
from fruitscale.cli.run_command import carry_out


def apply(
    pca: Annotated[
        str, typer.Option("--pca", "-p", metavar="RUN", help="The run whose model and components are taken.")
    ],
    engine: Engine = None,
    config: ConfigFile = None,
    input_uri: InputUri = None,
    output_uri: OutputUri = None,
    new_since: Annotated[
        Optional[list[str]],  # noqa: UP045  Typer reads it
        typer.Option("--new-since", metavar="RUN", help="Take only the photos that this run has not. Repeat."),
    ] = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Turn new photos into features and the components of an earlier run: nothing is fitted.

    The model is that run's where no setting says otherwise, and another is refused. Run again, it resumes.
    """
    from fruitscale.errors import UsageError
    from fruitscale.runs.fitted_pca import inherited_settings

    first = loaded(config, sets).config.storage
    given = loaded(
        config,
        sets,
        inherited_settings(pca, first),
        engine=engine,
        input__uri=input_uri,
        input__new_since=new_since,
        output__uri=output_uri,
        output__overwrite=overwrite or None,
        pca__run=pca,
    )
    for key, source in given.sources.items():
        if key.startswith("pca.") and source.startswith("--set"):
            raise UsageError(f"{key} can't be set: the components are those of {pca}.", "Fit others: fruitscale run")
    carry_out(given, dry_run=dry_run, json=json, verbose=verbose, quiet=quiet)
