"""fruitscale evaluate: are the components of a PCA enough?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config

if TYPE_CHECKING:
    from rich.table import Table

    from fruitscale.api import Evaluation
    from fruitscale.evaluation.nearest_neighbours import Score

BAR = 40
"""Characters of a bar of 100 %."""


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder whose components are evaluated.")],
    test_run: Annotated[str, typer.Argument(metavar="TEST_RUN", help="A run of other photos with the same model.")],
    plot: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option("--plot", metavar="FILE", help="Also write the curves as an HTML page."),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Compare each test photo's label with its nearest neighbours', by number of components. Nothing is trained."""
    from fruitscale import api

    found = api.evaluate(run, test_run, load_config(config, sets).config.storage)
    if plot is not None:
        from fruitscale.evaluation.plot import write_plot

        write_plot(found, plot)
    if json:
        print_json(found)
        return
    _show(found)


def _show(found: Evaluation) -> None:
    from fruitscale.cli.screen import counted, number, out

    out().print(_table(found))
    counts = f"{number(found.train_images)} training and {number(found.test_images)} test photos"
    out().print(f"{counts}, {counted(found.labels, 'label')}, {found.weights} weights.")
    out().print(_conclusion(found), style="bold")
    for note in found.notes:
        out().print(f"Note: {note}", style="yellow")


def _table(found: Evaluation) -> Table:
    from fruitscale.cli.screen import table_of
    from fruitscale.evaluation.nearest_neighbours import growing

    title = f"Accuracy of {found.neighbours} nearest neighbours"
    figures = ("components", "accuracy", "silhouette")
    table = table_of(*figures, "", title=title, right=figures)
    shown = {*growing(found.chosen), found.enough, (found.enough or 0) - 1}  # a selection: many numbers are tried
    for point in (point for point in found.points if point.components in shown):
        marks = ["enough"] * (point.components == found.enough) + ["chosen"] * (point.components == found.chosen)
        table.add_row(str(point.components), *_cells(point, marks))
    table.add_row(f"all {found.width} features", *_cells(found.full), style="bold")
    if found.pixels is not None:
        table.add_row("raw pixels", *_cells(found.pixels), style="dim")
    return table


def _cells(score: Score, marks: Sequence[str] = ()) -> tuple[str, str, str]:
    silhouette = "" if score.silhouette is None else f"{score.silhouette:.3f}"
    return f"{score.accuracy:.1%}", silhouette, " ".join(["█" * round(BAR * score.accuracy), *marks])


def _conclusion(found: Evaluation) -> str:
    if found.no_verdict is not None:
        return f"No verdict: {found.no_verdict}."
    if found.enough is None:
        return (
            f"No number of components up to {found.chosen} comes within one point of the full features: keep more, "
            "with --set pca.components=…"
        )
    return f"{found.enough} of {found.chosen} components are enough: within one point of all {found.width} features."
