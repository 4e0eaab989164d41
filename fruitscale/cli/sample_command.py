"""fruitscale sample: draws photos to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fruitscale.cli.plain_output import echo


def sample(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to create.")],
    classes: Annotated[int, typer.Option(metavar="NUMBER", help="Number of fruits, at most 131.")] = 12,
    per_class: Annotated[int, typer.Option(metavar="NUMBER", help="Photos per fruit.")] = 60,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Seed: the same seed draws the same bytes.")] = 0,
    corrupt: Annotated[int, typer.Option(metavar="NUMBER", help="Number of bad files to add.")] = 0,
) -> None:
    """Draw a data set like Fruits-360: one folder per class, 100×100 JPEGs on white."""
    from fruitscale.cli.screen import counted, size
    from fruitscale.sample import draw

    drawn = draw(out, classes=classes, per_class=per_class, seed=seed, corrupt=corrupt)
    bad = f" and {counted(drawn.corrupt, 'bad file')}" if drawn.corrupt else ""
    echo(
        f"{counted(drawn.images, 'image')} of {counted(drawn.classes, 'fruit')}{bad}, {size(drawn.bytes)}, in {drawn.path}"
    )
