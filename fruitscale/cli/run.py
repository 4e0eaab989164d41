"""fruitscale run: the whole job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from fruitscale.config import Loaded
    from fruitscale.record import RunRecord


def run(
    engine: Engine = None,
    config: ConfigFile = None,
    input_uri: InputUri = None,
    output_uri: OutputUri = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Turn photos into features and principal components.

    Run again, it resumes what was interrupted, and makes anew only what changed.
    """
    given = loaded(
        config,
        sets,
        engine=engine,
        input__uri=input_uri,
        output__uri=output_uri,
        output__overwrite=overwrite or None,
    )
    carry_out(given, dry_run=dry_run, json=json, verbose=verbose, quiet=quiet)


def carry_out(given: Loaded, *, dry_run: bool, json: bool, verbose: bool, quiet: bool) -> None:
    """Make the run of a configuration, and show its record."""
    if verbose:
        _show_sources(given)
    from fruitscale import api
    from fruitscale.errors import NothingNewError
    from fruitscale.progress import display

    try:
        if dry_run:
            _preview(given, as_json=json)
            return
        with display(quiet=quiet) as observer:
            record = api.run(given.config, observer)
    except NothingNewError as nothing:  # what a nightly job finds on most nights
        typer.echo("null" if json else nothing.message)
        return
    if json:
        typer.echo(record.to_json(), nl=False)
    else:
        _show(record)


def _show(record: RunRecord) -> None:
    from fruitscale.cli.screen import out
    from fruitscale.cli.show import summary

    out().print(summary(record))


def _preview(given: Loaded, *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from fruitscale.cli.screen import number, out, pairs, size
    from fruitscale.preview import preview

    seen = preview(given.config)
    if as_json:
        typer.echo(json.dumps(asdict(seen), indent=2))
        return
    rows = [
        ("images", f"{number(seen.images)} with {seen.labels} labels, {size(seen.bytes)}"),
        ("shards", f"{number(seen.shards)} of {number(seen.shard_images)} images"),
        ("model", f"{seen.architecture}, {seen.weights} weights, {seen.runtime} {seen.precision}"),
        ("components", seen.components),
        ("engine", f"{seen.engine}, {seen.slots} tasks at once on this machine"),
        ("output", f"{seen.output}: {seen.state}"),
    ]
    out().print(pairs("This would run", rows))


def _show_sources(given: Loaded) -> None:
    for key, source in given.sources.items():
        if source != "default":
            print(f"{key}: from {source}", file=sys.stderr)
