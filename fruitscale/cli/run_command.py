"""fruitscale run: the whole job, here or on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fruitscale.cli.json_output import print_json
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
    Slots,
    load_config,
)
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.config.loading import LoadedConfig
    from fruitscale.config.schema import Config
    from fruitscale.display.events import Event
    from fruitscale.storage.residency import StorageAccess


def run(
    engine: Engine = None,
    config: ConfigFile = None,
    input_uri: InputUri = None,
    output_uri: OutputUri = None,
    slots: Slots = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    detach: Annotated[bool, typer.Option("--detach", help="On a cluster: launch without watching.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn photos into features and principal components.

    Run the same command again to resume an interrupted run, or to redo only what changed.
    """
    from fruitscale.storage.residency import StorageAccess

    given = load_config(
        config,
        sets,
        engine=engine,
        input__uri=input_uri,
        output__uri=output_uri,
        output__overwrite=overwrite or None,
        slots=slots,
    )
    access = StorageAccess(given.config.storage)
    execute_run(given, access, dry_run=dry_run, json=json, quiet=quiet, detach=detach)


def execute_run(
    given: LoadedConfig,
    access: StorageAccess,
    *,
    dry_run: bool,
    json: bool,
    quiet: bool,
    detach: bool = False,
) -> None:
    """Run, preview or launch a configuration, and print the result."""
    from fruitscale.errors import NothingNewError

    try:
        if dry_run and given.config.cluster is not None:
            from fruitscale.cli.cluster_command import print_plan

            print_plan(given.config, as_json=json)
        elif dry_run:
            _preview(given, access, as_json=json)
        elif given.config.cluster is not None:
            _launch(given.config, detach=detach, quiet=quiet, as_json=json)
        else:
            _run_here(given.config, access, detach=detach, quiet=quiet, as_json=json)
    except NothingNewError as nothing:  # not an error: a nightly job often finds nothing
        echo("null" if json else nothing.message)


def _run_here(config: Config, access: StorageAccess, *, detach: bool, quiet: bool, as_json: bool) -> None:
    from fruitscale import api
    from fruitscale.cli.run_results import print_record
    from fruitscale.display.terminal import display
    from fruitscale.errors import UsageError

    if detach:
        raise UsageError(
            "--detach needs a cluster, and this config has no cluster section.",
            "See configs/emr.yaml and configs/ec2-dask.yaml.",
        )
    without_page: list[Event] = []
    unchanged: list[Event] = []

    def watch(event: Event) -> None:
        observer(event)
        without_page.extend([event] if event.warning and event.stage == "report" else [])
        unchanged.extend([event] if event.unchanged else [])

    with display(quiet=quiet) as observer:
        record = api.run_config(config, access, watch)
    page = config.report and not without_page
    print_record(record, as_json=as_json, page=page, unchanged=bool(unchanged))


def _launch(config: Config, *, detach: bool, quiet: bool, as_json: bool) -> None:
    from fruitscale.cli.run_results import ask_on_interrupt, print_launch_result
    from fruitscale.clusters import cluster_run
    from fruitscale.display.terminal import display

    with display(quiet=quiet) as observer:
        result = cluster_run.run(config, observer, detach=detach, on_interrupt=ask_on_interrupt)
    print_launch_result(result, as_json=as_json)


def _preview(given: LoadedConfig, access: StorageAccess, *, as_json: bool) -> None:
    from fruitscale.cli.screen import counted, number, out, pairs, size
    from fruitscale.cli.show_command import listing_rows
    from fruitscale.pipeline.input_listing import nothing_new
    from fruitscale.pipeline.preview import preview

    found = preview(given.config, access)
    if as_json:
        print_json(found)
        return
    rows = [
        ("images", f"{number(found.images)} with {counted(found.labels, 'label')}, {size(found.bytes)}"),
        *listing_rows(found.not_taken, found.archived, found.shared_labels),
        ("shards", f"{number(found.shards)} of {counted(found.shard_images, 'image')}"),
        ("model", f"{found.architecture}, {found.weights} weights, {found.runtime} {found.precision}"),
        ("components", found.components),
        ("engine", f"{found.engine}, {found.slots} tasks at once on this machine"),
        ("output", f"{found.output}: {found.state}"),
    ]
    if not found.images:
        echo(f"{nothing_new(given.config.input.uri, found.not_taken)} The run would be empty, and complete.")
    out().print(pairs("This would run", rows))
    if found.advice is not None:
        echo(found.advice)
    for warning in found.warnings:
        echo(f"Warning: {warning}", err=True)
