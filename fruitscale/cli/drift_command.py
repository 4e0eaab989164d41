"""fruitscale drift: do new photos still resemble the fitted ones?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config

if TYPE_CHECKING:
    from fruitscale.api import Drift

ADVICE = {
    "no photos": "The run has no photos, so there is nothing to compare.",
    "small": "The new photos resemble the fitted ones.",
    "noticeable": "The new photos differ somewhat from the fitted ones: check the labels at the top.",
    "large": "The new photos differ from the fitted ones: fit a new PCA that includes photos like these.",
}
SHOWN = 3
"""Labels named in the conclusion."""


def drift(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder that fitted the components.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A run of new photos with the same model.")],
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Measure how far new photos are from the fitted ones, by label, to know when to refit."""
    from fruitscale import api

    found = api.drift(run, new, load_config(config, sets).config.storage)
    if json:
        print_json(found)
        return
    _show(found)


def _show(found: Drift) -> None:
    from fruitscale.cli.screen import number, out, table_of

    title = f"Drift of {found.new} from {found.run}: {found.verdict}"
    figures = ("fitted", "new", "shift", "error", "beyond 99 %")
    table = table_of("label", *figures, title=title, right=figures)
    for group in (found.overall, *found.labels):
        name = "all" if group is found.overall else group.label if group.label is not None else "(no label)"
        numbers = (f"{group.shift:.2f}", f"{group.error:.2f}", f"{group.beyond:.1%}")
        row = (name, number(group.fitted), number(group.new), *numbers)
        table.add_row(*row, style="bold" if group is found.overall else None)
    out().print(table)
    out().print(ADVICE[found.verdict] + _furthest(found))
    if unseen := _unseen(found):
        out().print(unseen, style="yellow")
    out().print(
        "shift: distance of the mean scores in standard deviations; error: median reconstruction error relative to the "
        "fitted photos (1: the same); beyond: share with a larger error than 99 % of the fitted photos (expected: 1 %).",
        style="dim",
    )  # fmt: skip


def _unseen(found: Drift) -> str:
    """Return a sentence that names the labels without any fitted photo, compared with all fitted photos instead."""
    from fruitscale.cli.screen import counted, number

    groups = [group for group in found.labels if group.label is not None and not group.fitted]
    if not groups:
        return ""
    names = ", ".join(str(group.label) for group in groups[:SHOWN]) + (", …" if len(groups) > SHOWN else "")
    photos = sum(group.new for group in groups)
    return (
        f"Never seen when the components were fitted: {counted(len(groups), 'label')} ({names}), "
        f"{number(photos)} of {counted(found.overall.new, 'new photo')}."
    )


def _furthest(found: Drift) -> str:
    from fruitscale.evaluation.drift import ERRORS

    names = [group.label or "(no label)" for group in found.labels if group.error >= ERRORS[0]]
    if not names or found.verdict == "large":
        return ""
    return f" Furthest: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}."
