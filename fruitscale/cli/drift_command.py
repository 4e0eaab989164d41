"""fruitscale drift: are new photos still like those that were fitted?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fruitscale.cli.options import ConfigFile, Json, Sets, Verbose, loaded

if TYPE_CHECKING:
    from fruitscale.api import Drift

ADVICE = {
    "small": "The new photos are much like the fitted ones.",
    "noticeable": "The new photos are not quite like the fitted ones: look at the labels at the top.",
    "large": "The new photos are unlike the fitted ones: fit again, with photos like these.",
}
SHOWN = 3
"""Labels that are named."""


def drift(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder whose components were fitted.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A run of new photos with the same model.")],
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Tell how far new photos are from the fitted ones, by label, so that it is known when to fit again."""
    from fruitscale import api

    found = api.drift(run, new, loaded(config, sets).config.storage)
    if json:
        import json as writer
        from dataclasses import asdict

        typer.echo(writer.dumps(asdict(found), indent=2))
        return
    _show(found)


def _show(found: Drift) -> None:
    from rich.markup import escape
    from rich.table import Table

    from fruitscale.cli.screen import number, out

    title = f"Drift of {found.new} from {found.run}: {found.verdict}"
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for heading in ("label", "fitted", "new", "shift", "error", "beyond 99 %"):
        table.add_column(heading, justify="left" if heading == "label" else "right", overflow="fold")
    for one in (found.overall, *found.labels):
        name = "all" if one is found.overall else one.label if one.label is not None else "(no label)"
        numbers = (f"{one.shift:.2f}", f"{one.error:.2f}", f"{one.beyond:.1%}")
        row = (escape(name), number(one.fitted), number(one.new), *numbers)
        table.add_row(*row, style="bold" if one is found.overall else None)
    out().print(table)
    out().print(ADVICE[found.verdict] + _furthest(found), markup=False)
    out().print(
        "shift: standard deviations between the mean scores; error: median reconstruction error, 1 is that of the "
        "fitted; beyond: above 99 % of all fitted.", markup=False, style="dim",
    )  # fmt: skip


def _furthest(found: Drift) -> str:
    from fruitscale.evaluation.drift import ERRORS

    names = [one.label or "(no label)" for one in found.labels if one.error >= ERRORS[0]]
    if not names or found.verdict == "large":
        return ""
    return f" Furthest: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}."
