"""Formats text for people: counts, durations, sizes, and names that may hold control characters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fruitscale.runs.record import Cost

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters other than newline and tab, changes of the writing direction, and bytes that are not text."""


def printable(text: str) -> str:
    """Return text with control characters shown as Python writes them: a file's name can't steer the terminal."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def number(value: float) -> str:
    """Return a count: 2,400."""
    return f"{value:,.0f}"


def rough_number(value: float) -> str:
    """Return an estimated count with two digits: 3,400."""
    digits = 1 - len(str(round(abs(value))))
    return f"{round(value, min(digits + 1, 0)):,.0f}"


def counted(value: float, noun: str) -> str:
    """Return a count of things: 1 label, 2,400 labels."""
    return f"{number(value)} {noun}" + ("" if value == 1 else "s")


def seconds(value: float) -> str:
    """Return a duration: 0.42 s, 12.3 s, 3 min 20 s, 2 h 5 min."""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def rough_seconds(value: float) -> str:
    """Return a forecast duration: 40 s, 3 min, 2 h 5 min."""
    minutes = round(value / 60)
    if value < 90:
        return f"{value:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def size(n_bytes: float) -> str:
    """Return a size in bytes: 3.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def cost(found: Cost) -> str:
    """Return what a run's machines cost, and what was expected before the launch, as text."""
    spent = _amounts(found.amount, found.amount_at_most, found.currency) or "at prices that the config lacks"
    text = f"{spent} for {found.machine_hours:.2f} machine hours"
    if found.left_out:
        text += f", without {', '.join(found.left_out)}"
    if found.expected is None:
        return text
    expected = _amounts(found.expected.low, found.expected.high, found.currency)
    took = "" if found.minutes is None else f", and it took {found.minutes:.0f} min"
    return f"{text}; expected were {expected + ' in ' if expected else ''}{found.expected.minutes:.0f} min{took}"


def _amounts(low: float | None, high: float | None, currency: str) -> str:
    """Return an amount or a range; empty if it is unknown."""
    if low is None:
        return ""
    return f"{low:.2f} {currency}" if high is None or high - low < 0.005 else f"{low:.2f} to {high:.2f} {currency}"
