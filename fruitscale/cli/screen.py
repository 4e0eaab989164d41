"""What the terminal shows: tables, numbers and errors."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from rich.table import Table
from rich.text import Text

from fruitscale.display.formatting import counted, number, printable, seconds, size
from fruitscale.display.safe_console import SafeConsole
from fruitscale.display.terminal import print_line

__all__ = ["counted", "number", "out", "pairs", "print_error", "print_waits", "seconds", "size", "table_of"]


def out() -> SafeConsole:
    """Return the console for results (stdout); wide unless it is a terminal, so that nothing is cut or folded."""
    return SafeConsole(soft_wrap=True, width=None if sys.stdout.isatty() else 240)


def print_error(message: str, hint: str | None) -> None:
    """Print an error and its remedy on stderr."""
    console = SafeConsole(stderr=True, soft_wrap=not sys.stderr.isatty())  # a terminal would break words
    console.print(Text.assemble(("Error: ", "bold red"), printable(message)))
    if hint:
        console.print(Text.assemble(("Hint: ", "bold"), printable(hint)))


@contextmanager
def print_waits() -> Iterator[None]:
    """Print waits for a store or another run on stderr, within the block."""
    from fruitscale.storage.waiting import listening

    with listening(print_line):
        yield


def table_of(*headings: str, title: str | None = None, right: Collection[str] = (), header: bool = True) -> Table:
    """Return an empty table with these columns; those in `right` are right-aligned. Cells fold at the terminal's width."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold",
        show_header=header, box=None, padding=(0, 2, 0, 0),
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def pairs(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and values."""
    table = table_of("", "", title=title, header=False)
    table.columns[0].style, table.columns[0].no_wrap = "dim", True
    for name, value in rows:
        table.add_row(name, value)
    return table
