"""fruitscale cluster: plan, watch and end runs on temporary AWS machines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from pathlib import Path

    from fruitscale.clusters.launch_control import LaunchStatus
    from fruitscale.clusters.launcher import Machine
    from fruitscale.clusters.reap import ExpiredResource
    from fruitscale.config.cluster_section import Prices
    from fruitscale.config.schema import Config

app = typer.Typer(help="Plan, watch and end runs on temporary AWS machines.", no_args_is_help=True)

LaunchId = Annotated[
    Optional[str],  # noqa: UP045  Typer reads it
    typer.Argument(metavar="[LAUNCH]", help="Launch id (default: the latest launch of this config)."),
]


@app.command()
def plan(
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    measured: Annotated[
        Optional[str],  # noqa: UP045  Typer reads it
        typer.Option("--measured", metavar="RUN", help="A run whose speed the estimate uses."),
    ] = None,
) -> None:
    """Show what a launch would create, its price and whether it can succeed. Creates nothing; exits 1 if a check fails.

    --json includes every AWS request.
    """
    print_plan(load_config(config, sets).config, measured, as_json=json)


def print_plan(config: Config, measured: str | None = None, *, as_json: bool) -> None:
    """Print the plan of a launch; exit with 1 if a check fails."""
    from dataclasses import asdict

    from fruitscale.cli.plan_tables import show_plan
    from fruitscale.clusters import launch_plan

    made = launch_plan.plan(config, measured)
    if as_json:
        print_json({**asdict(made), "hour": made.hour, "failed": made.failed, "left_out": made.left_out})
    else:
        show_plan(made)
    if made.failed:
        raise typer.Exit(1)


@app.command()
def prices(
    config: ConfigFile = None,
    sets: Sets = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Look up AWS's list prices and write them into the --config file.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the prices of a config, with their date. --refresh first looks them up for its region and machines."""
    from fruitscale.cli.plan_tables import show_prices

    given = load_config(config, sets).config
    table = _refresh(config, given) if refresh else None
    if table is None:
        from fruitscale.clusters import cluster_config

        table = cluster_config.section(given).prices
    if json:
        print_json(table)
    else:
        show_prices(table)


@app.command()
def status(
    launch: LaunchId = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Show the state of a launch: its machines, the driver's progress, its cost so far."""
    from fruitscale.clusters import launch_control

    found = launch_control.status(load_config(config, sets).config, launch)
    if json:
        print_json(_status_values(found))
    else:
        _show_status(found)


@app.command()
def logs(launch: LaunchId = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Print the driver's log."""
    from fruitscale.clusters import launch_control

    text = launch_control.log(load_config(config, sets).config, launch)
    echo(text, nl=not text.endswith("\n"))


@app.command()
def stop(launch: LaunchId = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """End the machines of a launch now. Finished parts are kept."""
    from fruitscale.cli.run_results import print_progress
    from fruitscale.clusters import launch_control

    stopped = launch_control.stop(load_config(config, sets).config, launch, print_progress)
    echo(f"Launch {stopped.id} is stopped. To resume it: fruitscale cluster resume {stopped.id}")


@app.command()
def resume(
    launch: LaunchId = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Watch a running launch again; if it has ended, launch the same run again, which resumes where it stopped."""
    from fruitscale.cli.run_results import ask_on_interrupt, print_launch_result, print_progress
    from fruitscale.clusters import launch_control
    from fruitscale.display.terminal import display
    from fruitscale.errors import NothingNewError

    given = load_config(config, sets).config
    try:
        with display(quiet=quiet) as observer:
            result = launch_control.resume(
                given, launch, observer, on_interrupt=ask_on_interrupt, report=print_progress
            )
    except NothingNewError as nothing:
        echo("null" if json else nothing.message)
    else:
        print_launch_result(result, as_json=json)


@app.command()
def reap(
    config: ConfigFile = None,
    sets: Sets = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would be ended, and end nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """End every expired resource in the region that has fruitscale's tags, whoever launched it."""
    from fruitscale.clusters.reap import reap as end_expired

    found = end_expired(load_config(config, sets).config, dry_run=dry_run)
    if json:
        print_json(found)
    else:
        _show_reaped(found, dry_run=dry_run)
    if any(resource.problem for resource in found):
        raise typer.Exit(1)


def _refresh(path: Path | None, given: Config) -> Prices:
    from fruitscale.clusters import price_list, price_table
    from fruitscale.errors import UsageError

    if path is None:
        raise UsageError("--refresh writes the prices into a config file, and there is none.", "Give --config.")
    table = price_list.refreshed(given)
    price_table.write(path, table)
    echo(f"The prices of {table.date} were written into {path}.", err=True)
    return table


def _status_values(found: LaunchStatus) -> dict[str, object]:
    """Return the values that --json prints."""
    from dataclasses import asdict

    cluster = asdict(found.cluster)
    return {
        "id": found.launch.id,
        "expires": found.expires,
        "machine_hours": found.machine_hours,
        "amount": found.amount,
        "amount_is_limit": found.amount_is_limit,
        "currency": found.currency,
        "progress": found.progress and asdict(found.progress),
        "words": cluster.pop("text"),
        **cluster,
    }


def _show_status(found: LaunchStatus) -> None:
    from fruitscale.cli.screen import out, pairs

    cluster, progress = found.cluster, found.progress
    rows = [
        ("cluster", cluster.text),
        ("outcome", cluster.problem or cluster.outcome or "running"),
        ("progress", f"{progress.stage}, {progress.done} of {progress.total}" if progress else "none reported yet"),
        ("machines", _machine_counts(cluster.machines)),
        ("spent", _spent(found)),
        ("ends at the latest", f"{found.expires}, by {found.launch.limit}"),
        ("run", found.launch.config.output.uri),
    ]
    out().print(pairs(f"Launch {found.launch.id}", rows))


def _show_reaped(found: list[ExpiredResource], *, dry_run: bool) -> None:
    if not found:
        echo("No expired resources.")
    for resource in found:
        expired = f"expired {resource.expired}" if resource.expired else "with no date of its own"
        what = f"{resource.what} {resource.id} of launch {resource.run}, {expired}"
        if resource.left:
            result = f"left alone: {resource.left}"
        elif resource.problem:
            result = f"could not be ended: {resource.problem}"
        else:
            result = "would be ended" if dry_run else "ended"
        echo(f"{what}: {result}" if resource.id else f"{resource.what}: could not be listed: {resource.problem}")


def _machine_counts(machines: tuple[Machine, ...]) -> str:
    counts = Counter(f"{machine.type} {machine.market} {machine.state}" for machine in machines)
    return ", ".join(f"{count} × {kind}" for kind, count in counts.items()) or "none"


def _spent(found: LaunchStatus) -> str:
    hours = f"{found.machine_hours:.2f} machine-hours"
    if found.amount is None:
        return hours
    return f"{hours}, {'at most ' if found.amount_is_limit else ''}{found.amount:.2f} {found.currency}"
