"""Plain lines on stdout and stderr. The only place beside json_output and display/ that prints."""

from __future__ import annotations

import typer

from fruitscale.display.formatting import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text, with control characters escaped: a file's name can't steer the terminal."""
    typer.echo(printable(text), err=err, nl=nl)
