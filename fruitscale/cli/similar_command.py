"""fruitscale similar: the photos of a run that are nearest to one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.api import SimilarPhotos
    from fruitscale.search.run_search import By

ByVectors = Annotated[
    str, typer.Option("--by", metavar="VECTORS", help="components (those that were kept), or all features.")
]


def similar(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder (its --output).")],
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A path of the run, or a photo that is not in it.")],
    k: Annotated[int, typer.Option("--k", metavar="NUMBER", help="Number of photos to find.")] = 20,
    by: ByVectors = "components",
    page: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option("--page", metavar="FILE", help="Also write an HTML page that shows the photos."),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Find the photos of a run that are nearest to one, exactly, with their distances.

    A photo that is not in the run goes through the run's own model first.
    """
    from fruitscale import api
    from fruitscale.cli.screen import print_waits

    given = load_config(config, sets).config
    with print_waits():
        found = api.similar(run, photo, k, cast("By", by), page, given.storage, given.model.exported)
    if json:
        print_json(found)
    else:
        _show(found)
        if page is not None:
            echo(f"Page: {page}")


def _show(found: SimilarPhotos) -> None:
    from fruitscale.cli.screen import number, out, table_of

    of = f" ({found.label})" if found.label is not None else ""
    title = f"Nearest to {found.photo}{of}, by {number(found.width)} {found.by}"
    table = table_of("", "distance", "label", "path", title=title, right=("", "distance"))
    for rank, photo in enumerate(found.photos, 1):
        table.add_row(str(rank), f"{photo.distance:#.4g}", photo.label or "", photo.path)
    out().print(table)
    for note in found.notes:
        out().print(f"Note: {note}.", style="yellow")
