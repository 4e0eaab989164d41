"""Draw what grows at the stem end of a fruit (stem, leaves, crown, calyx) as filled strips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.sample.bodies import REACH
from fruitscale.sample.kinds import Kind, rgb

Floats = NDArray[np.floating]

_COUNTS = {"bare": 0, "stem": 1, "long stem": 1, "leaves": 11, "crown": 34, "calyx": 5, "hairs": 70}
_BROWN, _DARK, _GREEN, _DULL, _DRY = rgb("5c4426"), rgb("3c4420"), rgb("4c7a2a"), rgb("5a7048"), rgb("7a6248")


@dataclass(frozen=True)
class Strip:
    """A line in the body's axes with a width at each of its points (in fruit radii), in one colour."""

    line: Floats
    widths: Floats
    colour: Floats


def strips(kind: Kind, rng: np.random.Generator) -> list[Strip]:
    """Return the strips of one fruit, the lowest first."""
    count = _COUNTS[kind.top]
    turns = (np.arange(count) + rng.uniform(-0.2, 0.2, count)) * (2 * np.pi / max(min(count, 11), 1) * 1.02)
    sizes, droops = rng.uniform(0.75, 1.2, count), rng.uniform(0, 1, count)
    rows = sorted(zip(droops.tolist(), turns.tolist(), sizes.tolist(), strict=True), reverse=True)
    return [_strip(kind, turn, size, droop, rng.uniform(0.75, 1.2)) for droop, turn, size in rows]


def draw(canvas: Floats, covered: NDArray[np.bool_], parts: list[Strip], turn: Floats, *, front: bool) -> None:
    """Draw the strips in front of the fruit (or behind it) and mark their pixels as covered."""
    import cv2

    side = canvas.shape[0]
    mask = np.zeros((side, side), np.uint8)
    for part in parts:
        line = part.line @ turn.T
        if (line[-1, 2] >= 0) != front:
            continue
        flat = (line[:, :2] * (1, -1) + REACH) * ((side - 1) / (2 * REACH))
        along = np.gradient(flat, axis=0)
        across = along[:, ::-1] * (1, -1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
        reach = across * (part.widths * side / (4 * REACH))[:, np.newaxis]
        for lift, shade in ((1.0, 0.8), (0.45, 1.12)):  # a darker rim, a lighter middle
            outline = np.concatenate([flat + reach * lift, (flat - reach * lift)[::-1]])
            polygon = np.round(outline * 16).astype(np.int32)
            cv2.fillPoly(canvas, [polygon], (part.colour * shade).tolist(), shift=4)
            cv2.fillPoly(mask, [polygon], 1, shift=4)
    covered |= mask.astype(bool)


def _strip(kind: Kind, turn: float, size: float, droop: float, shade: float) -> Strip:
    t = np.linspace(0, 1, 8)
    base = kind.outline[0][0]
    colour = _BROWN
    match kind.top:
        case "leaves":
            out, up, width = (
                0.62 * size * t,
                0.05 + 0.3 * t * (1 - droop) - (0.35 * droop) * t**2,
                0.24 * np.sin(np.pi * t**0.7),
            )
            colour = _GREEN
        case "crown":
            steep = 1 - 0.75 * droop
            out, up, width = 0.6 * droop * t**1.5 + 0.05, 0.75 * size * steep * t - 0.05, 0.14 * (1 - t) + 0.01
            colour = _DULL
        case "calyx":
            out, up, width = 0.2 * size * t, 0.03 + 0.02 * t, 0.1 * (1 - t) + 0.01
            colour = _DARK
        case "hairs":
            out, up, width = (0.35 + 0.6 * droop) * t, 0.06 - 0.9 * droop * t**2, 0.015 + 0 * t
            colour = _DRY
        case _:
            length = 0.52 if kind.top == "long stem" else 0.27
            out, up, width = 0.16 * t**2 * size, length * size * t - 0.06, 0.055 + 0.03 * (t - 0.5) ** 2
    line = np.stack([out * np.cos(turn), base + up, out * np.sin(turn)], axis=1)
    return Strip(
        line.astype(np.float32), np.asarray(width, np.float32), np.array(colour, np.float32) * np.float32(shade)
    )
