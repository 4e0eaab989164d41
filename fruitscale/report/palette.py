"""What tells labels apart: a colour, a shape, and filled or hollow; 140 looks before one comes again.

The seven colours are told apart by colour-blind readers too, and each has a contrast of 3 to 1 with its page, which is
what WCAG 2.2 asks of graphics (1.4.11).
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
    """How a label is drawn; `tone` is the number of its colour in LIGHT and DARK."""

    tone: int
    shape: str
    hollow: bool


def style_of(label: int) -> LabelStyle:
    """Return the look of a label by its number: neighbours in the alphabet differ in colour."""
    rest, tone = divmod(label, len(LIGHT))
    rest, shape = divmod(rest, len(SHAPES))
    return LabelStyle(tone, SHAPES[shape], hollow=bool(rest % 2))
