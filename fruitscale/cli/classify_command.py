"""fruitscale classify: labels for new photos, by their nearest neighbours in a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Quiet, Sets, load_config
from fruitscale.cli.plain_output import echo
from fruitscale.cli.similar_command import ByVectors

if TYPE_CHECKING:
    from fruitscale.api import Classification
    from fruitscale.search.run_search import By

SHOWN = 20
"""Photos listed on the screen."""


def classify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run whose photos have labels.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A folder of photos, or a run of them (fruitscale apply).")],
    k: Annotated[int, typer.Option("--k", metavar="NUMBER", help="Number of neighbours that vote.")] = 5,
    by: ByVectors = "features",
    unknown: Annotated[
        float,
        typer.Option(
            "--unknown",
            metavar="QUANTILE",
            help="A photo is unknown if it is farther away than this fraction of its label's own photos, held out.",
        ),
    ] = 0.95,
    output: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option("--output", "-o", metavar="FILE", help="Also write one row per photo, as CSV."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give new photos the label of most of their nearest neighbours in a run, or "unknown". Nothing is trained.

    A folder of photos goes through the run's own model first, in a temporary run.
    Precision and coverage of a label are those of photos of RUN that were held out.
    """
    from fruitscale import api
    from fruitscale.cli.screen import print_waits
    from fruitscale.display.terminal import display
    from fruitscale.search.label_table import check_target, write_labels

    load_config(config, sets)
    if output is not None:
        check_target(output, overwrite=overwrite)
    with print_waits(), display(quiet=quiet) as observer:
        found = api.classify(run, new, k, cast("By", by), unknown, config, observer, sets or ())
    if output is not None:
        write_labels(found, output, overwrite=overwrite)
    if json:
        print_json(found)
        return
    _show(found)
    if output is not None:
        echo(f"{output}: {len(found.photos):,} rows")


def _show(found: Classification) -> None:
    _show_photos(found)
    _show_labels(found)
    _show_sums(found)


def _show_photos(found: Classification) -> None:
    from rich.text import Text

    from fruitscale.cli.screen import counted, out, table_of

    title = f"Labels by the {counted(found.neighbours, 'nearest neighbour')}, by {found.width:,} {found.by}"
    table = table_of("label", "share", "distance", "path", title=title, right=("share", "distance"))
    for photo in found.photos[:SHOWN]:
        label = Text("unknown", style="yellow") if photo.label is None else photo.label or "(empty)"
        table.add_row(label, f"{photo.share:.0%}", f"{photo.distance:#.4g}", photo.path)
    out().print(table)
    if len(found.photos) > SHOWN:
        out().print(
            f"and {counted(len(found.photos) - SHOWN, 'more photo')}: --output FILE writes all of them.", style="dim"
        )


def _show_labels(found: Classification) -> None:
    from fruitscale.cli.screen import number, out, table_of

    given: dict[str | None, int] = {}
    for photo in found.photos:
        given[photo.label] = given.get(photo.label, 0) + 1
    figures = ("given", "held out", "precision", "coverage", "limit")
    table = table_of("label", *figures, title="Labels given, and how photos held out of the run fared", right=figures)
    for label in found.labels:
        precision = "–" if label.precision is None else f"{label.precision:.1%}"
        cells = (number(label.photos), precision, f"{label.coverage:.1%}", f"{label.limit:#.4g}")
        table.add_row(label.label or "(empty)", number(given.get(label.label, 0)), *cells)
    table.add_row("unknown", number(found.unknown), "", "", "", "", style="yellow")
    out().print(table)


def _show_sums(found: Classification) -> None:
    from fruitscale.cli.screen import counted, number, out

    n_photos = len(found.photos)
    unread = f"; {counted(found.rejected, 'photo')} could not be used" if found.rejected else ""
    share = f" ({found.unknown / n_photos:.1%})" if n_photos else ""
    out().print(f"{number(found.unknown)} of {counted(n_photos, 'photo')} unknown{share}{unread}.", style="bold")
    own = found.own
    if own.photos:
        out().print(
            f"Of {counted(own.photos, 'photo')} whose own label the run has, the neighbours of "
            f"{own.voted_right / own.photos:.1%} vote for it; {number(own.given)} were given a label, "
            f"{number(own.right)} of them their own."
        )
        if own.others:
            out().print(
                f"Of {counted(own.others, 'photo')} with other labels, {number(own.others_unknown)} are unknown."
            )
    out().print(
        f"unknown: the nearest photo is farther away than the limit, which {found.quantile:.0%} of the photos held out are "
        "within; precision: share of those given the label that have it; coverage: share of the label's own that were given "
        "any label.",
        style="dim",
    )  # fmt: skip
