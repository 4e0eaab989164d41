"""fruitscale cluster: plan, watch and end runs on temporary AWS machines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from fruitscale.clusters.launch_control import LaunchStatus
    from fruitscale.clusters.launch_plan import LaunchCheck, LaunchPlan
    from fruitscale.clusters.launcher import Machine
    from fruitscale.clusters.reap import ExpiredResource

app = typer.Typer(help="Plan, watch and end runs on temporary AWS machines.", no_args_is_help=True)

LaunchId = Annotated[
    Optional[str],  # noqa: UP045  Typer reads it
    typer.Argument(metavar="[LAUNCH]", help="Launch id (default: the latest launch of this config)."),
]
STYLES = {"pass": "green", "fail": "bold red", "could not be checked": "yellow"}


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
    from dataclasses import asdict

    from fruitscale.clusters import launch_plan

    made = launch_plan.plan(load_config(config, sets).config, measured)
    if json:
        print_json({**asdict(made), "hour": made.hour, "failed": made.failed, "left_out": made.left_out})
    else:
        _show_plan(made)
    if made.failed:
        raise typer.Exit(1)


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

    given = load_config(config, sets).config
    with display(quiet=quiet) as observer:
        result = launch_control.resume(given, launch, observer, on_interrupt=ask_on_interrupt, report=print_progress)
    print_launch_result(result, as_json=json)


@app.command()
def reap(
    config: ConfigFile = None,
    sets: Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be ended, and end nothing.")] = False,
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


def _status_values(found: LaunchStatus) -> dict[str, object]:
    """Return the values that --json prints."""
    from dataclasses import asdict

    cluster = asdict(found.cluster)
    return {
        "id": found.launch.id,
        "expires": found.expires,
        "machine_hours": found.machine_hours,
        "amount": found.amount,
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
        ("spent", _spent(found.machine_hours, found.amount, found.currency)),
        ("ends at the latest", found.expires),
        ("run", found.launch.config.output.uri),
    ]
    out().print(pairs(f"Launch {found.launch.id}", rows))


def _show_plan(made: LaunchPlan) -> None:
    from fruitscale.cli.screen import out, pairs

    out().print(_price_table(made))
    out().print()
    out().print(pairs("Estimate", _estimate_rows(made)))
    out().print()
    out().print("Checks", style="bold")
    for check in made.checks:
        out().print(_check_line(check))
    out().print(f"\nA launch would make {len(made.requests)} requests (shown by --json). Nothing was created.")


def _estimate_rows(made: LaunchPlan) -> list[tuple[str, str]]:
    refresh = "`fruitscale cluster prices --refresh --config …` looks them up"
    dated = f"at the prices of {made.prices_date}" if made.prices_date else f"at undated example prices; {refresh}"
    return [
        ("per hour, at most", f"{_money(made.hour, made.currency)}, {dated}"),
        (f"at most, after {_time(made.hours * 60)}", f"{_money(made.most, made.currency)}; ended by {made.limit}"),
        *_photo_rows(made),
        ("not included", _not_included(made)),
    ]


def _photo_rows(made: LaunchPlan) -> list[tuple[str, str]]:
    found = made.estimate
    if isinstance(found, str):
        return [("these photos", f"no estimate: {found}")]
    cost = _money(found.high, made.currency)
    if found.low is not None and found.high is not None and round(found.low, 2) < round(found.high, 2):
        cost = f"{found.low:.2f} to {cost}"
    longer = f"; {made.limit} would end it" if found.minutes > made.hours * 60 else ""
    speed = f"{found.ms_per_image:.1f} ms of a core each ({found.measured}), {found.cores} cores"
    start = f"{found.start_minutes:.0f} min to start and end the machines (assumed)"
    return [
        ("these photos", f"{found.images:,} photos: about {_time(found.minutes)}, {cost}{longer}"),
        ("at this speed", f"{speed}; {start}"),
    ]


def _not_included(made: LaunchPlan) -> str:
    missing = [f"{what} (no price)" for what in made.left_out]
    return ", ".join([*missing, "network traffic, and what is there without a launch (NAT, endpoints)"])


def _time(minutes: float) -> str:
    return f"{minutes / 60:.3g} hours" if minutes >= 120 else f"{max(1, round(minutes))} min"


def _price_table(made: LaunchPlan) -> Table:
    from fruitscale.cli.screen import table_of

    figures = ("count", "each, per hour", "per hour")
    table = table_of("at most", *figures, title=f"{made.kind} in {made.region}", right=figures)
    for line in made.lines:
        hour = "unknown" if line.hour is None else f"{line.hour:.3g} {made.currency}"
        total = _money(line.total, made.currency)
        table.add_row(line.what, str(line.count), hour, total)
    return table


def _check_line(check: LaunchCheck) -> Text:
    from rich.text import Text

    remedy = f" {check.remedy}" if check.remedy and check.verdict != "pass" else ""
    return Text.assemble((check.verdict, STYLES[check.verdict]), f"  {check.name}: {check.found}", (remedy, "dim"))


def _money(value: float | None, currency: str) -> str:
    return "unknown" if value is None else f"{value:.2f} {currency}"


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


def _spent(hours: float, amount: float | None, currency: str) -> str:
    return f"{hours:.2f} machine-hours" + (f", {amount:.2f} {currency}" if amount is not None else "")
