"""Shows results in a notebook's cell, as a table of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a title, and a table of names and values."""
    lines = "".join(f'<tr><th style="text-align:left">{escape(name)}</th>{_cell(value)}</tr>' for name, value in rows)
    return f"<p><b>{escape(title)}</b></p><table>{lines}</table>"


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """Return a title, a table, and notes below it."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<p><b>{escape(title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def _cell(text: str) -> str:
    return f'<td style="text-align:left">{escape(text)}</td>'
