"""fruitscale sample: draws photos to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fruitscale.cli.options import Verbose


def sample(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    classes: Annotated[int, typer.Option(help="How many kinds of fruit, 131 at most.")] = 12,
    per_class: Annotated[int, typer.Option(help="Photos of each.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed draws the same bytes.")] = 0,
    corrupt: Annotated[int, typer.Option(metavar="N", help="Add so many bad files.")] = 0,
    verbose: Verbose = False,
) -> None:
    """Draw a data set like Fruits-360: one folder a class, 100×100 JPEGs on white."""
    from fruitscale.cli.screen import number, size
    from fruitscale.sample import draw

    drawn = draw(out, classes=classes, per_class=per_class, seed=seed, corrupt=corrupt)
    bad = f" and {drawn.corrupt} bad files" if drawn.corrupt else ""
    typer.echo(f"{number(drawn.images)} images of {drawn.classes} fruits{bad}, {size(drawn.bytes)}, in {drawn.path}")
