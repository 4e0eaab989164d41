"""fruitscale cluster: what a run on machines of AWS's would make, and what became of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from fruitscale.cli.options import ConfigFile, Json, Sets, Verbose, loaded

if TYPE_CHECKING:
    from fruitscale.clusters.launch import Launch
    from fruitscale.clusters.launch_plan import LaunchPlan
    from fruitscale.clusters.launcher import Machine
    from fruitscale.clusters.reap import ExpiredResource
    from fruitscale.config.schema import Config

app = typer.Typer(help="Plan, watch and end runs on AWS's machines.", no_args_is_help=True)

RunId = Annotated[
    Optional[str],  # noqa: UP045  Typer reads it
    typer.Argument(metavar="[LAUNCH]", help="Its id, as it was printed; the newest one of this config without."),
]
STYLES = {"pass": "green", "fail": "bold red", "could not be checked": "yellow"}


@app.command()
def plan(config: ConfigFile = None, sets: Sets = None, json: Json = False, verbose: Verbose = False) -> None:
    """Show what would be made and what it costs, and check whether it could. Makes nothing; exit 1 when a check fails.

    With --json every request to AWS is there, as it would be made.
    """
    from fruitscale.clusters.cluster_run import settle
    from fruitscale.clusters.launch_plan import plan as make

    made = make(settle(loaded(config, sets).config))
    if json:
        import json as writer
        from dataclasses import asdict

        typer.echo(writer.dumps({**asdict(made), "hour": made.hour, "failed": made.failed}, indent=2))
    else:
        _show_plan(made)
    if made.failed:
        raise typer.Exit(1)


@app.command()
def status(
    launch: RunId = None, config: ConfigFile = None, sets: Sets = None, json: Json = False, verbose: Verbose = False
) -> None:
    """Tell where a launch is: its machines, the driver's progress, what it has cost so far."""
    from fruitscale.clusters import monitoring, prices
    from fruitscale.clusters.launcher_registry import launcher_of

    found = _launch(config, sets, launch)
    sight = launcher_of(found).look()
    event = monitoring.progress(found)
    hours, amount = prices.spent(found.cluster, sight.machines)
    if json:
        import json as writer
        from dataclasses import asdict

        told = {"id": found.id, "expires": found.tags["fruitscale:expires"], "machine_hours": hours, "amount": amount,
                "currency": found.cluster.prices.currency, "progress": event and asdict(event), **asdict(sight)}  # fmt: skip
        typer.echo(writer.dumps(told, indent=2))
        return
    from fruitscale.cli.screen import out, pairs

    rows = [
        ("cluster", sight.words),
        ("outcome", sight.problem or sight.outcome or "it runs"),
        ("progress", f"{event.stage}, {event.done} of {event.total}" if event else "the driver hasn't told yet"),
        ("machines", _machines(sight.machines)),
        ("spent", _spent(hours, amount, found.cluster.prices.currency)),
        ("ends at the latest", found.tags["fruitscale:expires"]),
        ("run", found.config.output.uri),
    ]
    out().print(pairs(f"Launch {found.id}", rows))


@app.command()
def logs(launch: RunId = None, config: ConfigFile = None, sets: Sets = None, verbose: Verbose = False) -> None:
    """Print what the driver printed."""
    from fruitscale.clusters import job_files
    from fruitscale.clusters.launcher_registry import launcher_of
    from fruitscale.errors import ClusterError

    found = _launch(config, sets, launch)
    text = job_files.log(found) or launcher_of(found).log()
    if not text:
        raise ClusterError(f"There is no log of {found.id} yet.", "It comes once the driver has begun.")
    typer.echo(text, nl=not text.endswith("\n"))


@app.command()
def stop(launch: RunId = None, config: ConfigFile = None, sets: Sets = None, verbose: Verbose = False) -> None:
    """End the machines of a launch, now. What the run has finished is kept."""
    from fruitscale.clusters.cluster_run import tear_down
    from fruitscale.clusters.launcher_registry import launcher_of

    found = _launch(config, sets, launch)
    tear_down(launcher_of(found), _tell)
    typer.echo(f"Nothing of {found.id} runs any more. Go on with it: fruitscale cluster resume {found.id}")


@app.command()
def resume(
    launch: RunId = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Watch a launch that still runs; where it has ended, launch the same run again: it goes on where it stopped."""
    from fruitscale.cli.run_command import print_ended
    from fruitscale.clusters import cluster_run
    from fruitscale.clusters.launcher_registry import launcher_of
    from fruitscale.display.terminal import display

    found = _launch(config, sets, launch)
    launcher = launcher_of(found)
    with display(quiet=quiet) as observer:
        if launcher.look().outcome is None:
            ended = cluster_run.watch_until_end(found, launcher, observer, ask_what_to_do)
        else:
            cluster_run.tear_down(launcher, _tell)
            ended = cluster_run.run(found.config, observer, on_interrupt=ask_what_to_do)
    print_ended(ended, as_json=json)


@app.command()
def reap(
    config: ConfigFile = None,
    sets: Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be ended, and end nothing.")] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """End everything in the region that has our tags and is past its expiry, whoever launched it."""
    from fruitscale.clusters.reap import reap as find_and_end
    from fruitscale.storage import residency

    given = loaded(config, sets).config
    found = find_and_end(given.model_copy(update={"storage": residency.settle(given.storage)}), dry_run=dry_run)
    if json:
        import json as writer
        from dataclasses import asdict

        typer.echo(writer.dumps([asdict(one) for one in found], indent=2))
    else:
        _show_reaped(found, dry_run=dry_run)
    if any(one.problem for one in found):
        raise typer.Exit(1)


def ask_what_to_do(launch: Launch) -> Literal["detach", "stop"]:
    """Ask at a terminal whether an interrupted run goes on without us; elsewhere it is stopped."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "stop"
    _tell(f"\n{launch.id} runs on {launch.cluster.kind}.")
    try:
        goes_on = typer.confirm("Let it go on without watching it? No: end its machines", default=False, err=True)
    except (typer.Abort, KeyboardInterrupt):
        return "stop"
    return "detach" if goes_on else "stop"


def _launch(config: object, sets: list[str] | None, launch_id: str | None) -> Launch:
    from fruitscale.clusters import launch as launches
    from fruitscale.errors import UsageError
    from fruitscale.storage import residency

    given: Config = loaded(config, sets).config  # type: ignore[arg-type]
    if given.storage.staging_uri is None:
        raise UsageError("storage.staging_uri is not set.", "Give the --config that the run was launched with.")
    storage = residency.settle(given.storage)
    residency.check(storage, [given.storage.staging_uri])
    return launches.find(given.model_copy(update={"storage": storage}), launch_id)


def _show_plan(made: LaunchPlan) -> None:
    from rich.markup import escape
    from rich.table import Table

    from fruitscale.cli.screen import out, pairs

    def money(value: float | None) -> str:
        return "not known" if value is None else f"{value:.2f} {made.currency}"

    table = Table(
        title=f"{made.kind} in {made.region}", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for heading in ("machines, at most", "count", "an hour, each", "an hour"):
        table.add_column(heading, justify="left" if heading.startswith("machines") else "right")
    for line in made.lines:
        table.add_row(escape(line.what), str(line.count), money(line.hour), money(line.total))
    out().print(table)
    out().print()
    most = None if made.hour is None else made.hour * made.max_hours
    dated = f", by the prices of {made.prices_date}" if made.prices_date else ", by prices that nobody dated"
    rows = [("an hour", f"{money(made.hour)}{dated}"), (f"all {made.max_hours:g} hours", money(most))]
    out().print(pairs("Estimate, without disks, requests and traffic", rows))
    out().print()
    out().print("[bold]Checks[/]")
    for check in made.checks:
        style = STYLES[check.verdict]
        remedy = f" [dim]{escape(check.remedy)}[/]" if check.remedy and check.verdict != "pass" else ""
        out().print(f"[{style}]{check.verdict}[/]  {escape(check.name)}: {escape(check.found)}{remedy}")
    out().print(f"\n{len(made.requests)} requests would be made: see them with --json. Nothing was made.")


def _show_reaped(found: list[ExpiredResource], *, dry_run: bool) -> None:
    if not found:
        typer.echo("Nothing of ours is past its expiry.")
    for one in found:
        done = "would be ended" if dry_run else f"could not be ended: {one.problem}" if one.problem else "ended"
        typer.echo(f"{one.what} {one.id} of launch {one.run}, expired {one.expired or 'long ago'}: {done}")


def _machines(machines: tuple[Machine, ...]) -> str:
    counts: dict[str, int] = {}
    for machine in machines:
        what = f"{machine.type} {machine.market} {machine.state}"
        counts[what] = counts.get(what, 0) + 1
    return ", ".join(f"{count} × {what}" for what, count in counts.items()) or "none"


def _spent(hours: float, amount: float | None, currency: str) -> str:
    return f"{hours:.2f} machine-hours" + (f", {amount:.2f} {currency}" if amount is not None else "")


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
