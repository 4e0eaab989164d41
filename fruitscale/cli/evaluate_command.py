"""fruitscale evaluate: is what PCA kept enough?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.options import ConfigFile, Json, Sets, Verbose, loaded

if TYPE_CHECKING:
    from rich.table import Table

    from fruitscale.api import Evaluation
    from fruitscale.evaluation.nearest_neighbours import Score

BAR = 40
"""Characters of a bar of 100 %."""


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder whose components are judged.")],
    test_run: Annotated[str, typer.Argument(metavar="TEST_RUN", help="A run of other photos with the same model.")],
    plot: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option("--plot", metavar="FILE", help="Write the curves as a page, as evaluation.html."),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Compare each test photo's label with its nearest neighbours', by the number of components. Nothing is trained."""
    from fruitscale import api

    found = api.evaluate(run, test_run, loaded(config, sets).config.storage)
    if plot is not None:
        from fruitscale.evaluation.plot import write_plot

        write_plot(found, plot)
    if json:
        import json as writer
        from dataclasses import asdict

        typer.echo(writer.dumps(asdict(found), indent=2))
        return
    _show(found)


def _show(found: Evaluation) -> None:
    from fruitscale.cli.screen import number, out

    out().print(_table(found))
    counts = f"{number(found.train_images)} training and {number(found.test_images)} test photos"
    out().print(f"{counts}, {found.labels} labels, {found.weights} weights.", markup=False)
    out().print(_conclusion(found), markup=False, style="bold")
    for note in found.notes:
        out().print(f"Note: {note}", markup=False, style="yellow")


def _table(found: Evaluation) -> Table:
    from rich.table import Table

    from fruitscale.evaluation.nearest_neighbours import growing

    title = f"Accuracy of {found.neighbours} nearest neighbours"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for heading in ("components", "accuracy", "silhouette"):
        table.add_column(heading, justify="right")
    table.add_column("")
    shown = {*growing(found.chosen), found.enough, (found.enough or 0) - 1}  # not each of many that were tried
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
    if found.enough is None:
        return (
            f"None of up to {found.chosen} components comes within one point of the full features: keep more, "
            "with --set pca.components=…"
        )
    return f"{found.enough} of {found.chosen} components are enough: within one point of all {found.width} features."
