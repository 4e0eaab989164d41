"""The tables of `cluster plan` and `cluster prices`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fruitscale.cli.screen import out, pairs, table_of
from fruitscale.config.loading import leaves

if TYPE_CHECKING:
    from rich.table import Table

    from fruitscale.clusters.check_results import LaunchCheck
    from fruitscale.clusters.launch_plan import LaunchPlan
    from fruitscale.config.cluster_section import Prices

STYLES = {"pass": "green", "fail": "bold red", "could not be checked": "yellow"}


def show_plan(made: LaunchPlan) -> None:
    """Print what a launch would create, its price and its checks."""
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
        *([("faster", made.advice)] if made.advice else []),
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
    return ", ".join([*missing, "network traffic, existing NAT gateways and endpoints"])


def _time(minutes: float) -> str:
    return f"{minutes / 60:.3g} hours" if minutes >= 120 else f"{max(1, round(minutes))} min"


def _price_table(made: LaunchPlan) -> Table:
    figures = ("count", "each, per hour", "per hour")
    table = table_of("at most", *figures, title=f"{made.kind} in {made.region}", right=figures)
    for line in made.lines:
        hour = "unknown" if line.hour is None else f"{line.hour:.3g} {made.currency}"
        total = _money(line.total, made.currency)
        table.add_row(line.what, str(line.count), hour, total)
    return table


def _check_line(check: LaunchCheck) -> Text:
    remedy = f" {check.remedy}" if check.remedy and check.verdict != "pass" else ""
    return Text.assemble((check.verdict, STYLES[check.verdict]), f"  {check.name}: {check.found}", (remedy, "dim"))


def _money(value: float | None, currency: str) -> str:
    return "unknown" if value is None else f"{value:.2f} {currency}"


def show_prices(table: Prices) -> None:
    """Print a price table."""
    dated = f"of {table.date}" if table.date else "without a date: they are only examples"
    values = table.model_dump(exclude={"date", "currency"})
    rows = [(key, "unknown" if value is None else f"{value:g}") for key, value in leaves(values) if value != {}]
    out().print(pairs(f"Prices in {table.currency}, {dated}", rows))
