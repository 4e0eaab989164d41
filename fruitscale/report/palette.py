"""Styles of labels: colour, shape, filled or hollow; 140 combinations before one repeats.

Colour-blind readers can distinguish the seven colours, and each has the contrast of 3:1 that WCAG 2.2 requires of
graphics (1.4.11).
"""

from __future__ import annotations

from dataclasses import dataclass

LIGHT = ("#0067a5", "#dd5500", "#1c9463", "#cc79a7", "#6b2c10", "#33373e", "#8a63d8")
DARK = ("#4aa8ea", "#f0803c", "#45c46e", "#f2a9d8", "#f0d860", "#9aa0a8", "#7b74f0")
SHAPES = (
    "circle", "square", "triangle", "diamond", "inverted_triangle", "star", "plus", "hex", "square_pin", "triangle_pin",
)  # fmt: skip


@dataclass(frozen=True)
class LabelStyle:
    """How a label is drawn; `tone` indexes LIGHT and DARK."""

    tone: int
    shape: str
    hollow: bool


def style_of(label: int) -> LabelStyle:
    """Return the style of a label number. Labels next to each other in the alphabet differ in colour."""
    rest, tone = divmod(label, len(LIGHT))
    rest, shape = divmod(rest, len(SHAPES))
    return LabelStyle(tone, SHAPES[shape], hollow=bool(rest % 2))
