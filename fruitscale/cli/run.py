"""fruitscale run: the whole job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.options import ConfigFile, Engine, Json, Sets, Verbose, loaded

if TYPE_CHECKING:
    from fruitscale.config import Loaded
    from fruitscale.events import Event
    from fruitscale.record import RunRecord


def run(
    engine: Engine = None,
    config: ConfigFile = None,
    input_uri: Annotated[
        Optional[str],  # noqa: UP045  Typer reads it
        typer.Option("--input", "-i", metavar="URI", help="The folder with the photos, one folder a label."),
    ] = None,
    output_uri: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--output", "-o", metavar="URI", help="Where the run folder goes."),
    ] = None,
    sets: Sets = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another run that is in --output.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
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
    if verbose:
        _show_sources(given)
    if dry_run:
        _preview(given, as_json=json)
        return
    from fruitscale import api
    from fruitscale.progress import display

    warnings: list[Event] = []

    def watch(event: Event) -> None:
        observer(event)
        warnings.extend([event] if event.warning else [])

    with display(quiet=quiet) as observer:
        record = api.run(given.config, watch)
    if json:
        typer.echo(record.to_json(), nl=False)
    else:
        _show(record, page=given.config.report and not warnings)


def _show(record: RunRecord, *, page: bool) -> None:
    from fruitscale.cli.screen import out
    from fruitscale.cli.show import summary

    out().print(summary(record, page=page))


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
        ("engine", f"{seen.engine}, {seen.slots} tasks at once on this machine"),
        ("output", f"{seen.output}: {seen.state}"),
    ]
    out().print(pairs("This would run", rows))


def _show_sources(given: Loaded) -> None:
    for key, source in given.sources.items():
        if source != "default":
            print(f"{key}: from {source}", file=sys.stderr)
