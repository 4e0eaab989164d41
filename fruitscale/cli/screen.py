"""How things look: tables, numbers and errors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fruitscale.display.formatting import number, seconds, size

__all__ = ["number", "out", "pairs", "print_error", "seconds", "size"]


def out() -> Console:
    """Return the console of results: stdout; wide where no terminal sets its width, so that nothing is cut or folded."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)


def print_error(message: str, hint: str | None) -> None:
    """Print an error and its remedy on stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("Error: ", "bold red"), message))
    if hint:
        console.print(Text.assemble(("Hint: ", "bold"), hint))


@contextmanager
def print_waits() -> Iterator[None]:
    """Print on stderr, within the block, when a store or another run is waited for."""
    from fruitscale.storage.waiting import listening

    with listening(lambda message: print(message, file=sys.stderr)):
        yield


def pairs(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Build a table of names and values."""
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(escape(name), escape(value))
    return table
