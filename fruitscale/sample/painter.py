"""Create a fruit and render its photos: rotated, lit from the upper left, on a white background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.sample import bodies, tops
from fruitscale.sample.kinds import Kind
from fruitscale.sample.skin import HEIGHT, WIDTH, skin

Floats = NDArray[np.floating]

SIDE = 100
"""The width and height of a photo in pixels."""
_FINE = 144
"""The width and height of the canvas before downscaling."""
_LIGHT = np.array([-0.38, 0.5, 0.78], np.float32)
_SHINE = np.array([-0.22, 0.3, 0.93], np.float32)


@dataclass(frozen=True)
class Fruit:
    """One fruit of a kind, with its own blemishes."""

    kind: Kind
    skin: Floats
    bend: Floats
    balls: Floats
    tints: Floats
    top: list[tops.Strip]


def grow(kind: Kind, rng: np.random.Generator) -> Fruit:
    """Return a random fruit of a kind."""
    balls = bodies.berries(kind, rng) if kind.body == "bunch" else np.zeros((0, 4), np.float32)
    return Fruit(
        kind=kind,
        skin=skin(kind, rng),
        bend=(kind.uneven * rng.uniform(-1.5, 1.5, 3)).astype(np.float32),
        balls=balls,
        tints=rng.uniform(0.8, 1.15, (len(balls), 1)).astype(np.float32),
        top=tops.strips(kind, rng),
    )


def photograph(fruit: Fruit, turned: float, upright: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Render a fruit at `turned` (0 to 1) of a full turn: uint8 RGB of shape (SIDE, SIDE, 3).

    Upright it turns about its own axis; otherwise it lies on its side and turns on the table like a clock hand.
    """
    turn = _turn(fruit.kind, turned, upright)
    hit, colour = _surface(fruit, turn)
    canvas = np.ones((_FINE, _FINE, 3), np.float32)
    covered = hit.mask.copy()
    tops.draw(canvas, covered, fruit.top, turn, front=False)
    canvas[hit.mask] = _lit(colour, hit.normal, fruit.kind.gloss)
    tops.draw(canvas, covered, fruit.top, turn, front=True)
    canvas[covered] *= np.float32(rng.normal(1, 0.012))  # exposure varies from photo to photo
    return _fit(canvas, covered, rng)


def _turn(kind: Kind, turned: float, upright: bool) -> Floats:
    angle = 2 * np.pi * turned
    if kind.body == "bent":  # a banana lies and rocks, because end-on it is unrecognizable
        lying = _about_z(-np.pi / 2) if upright else _about_x(np.pi / 2) @ _about_z(-np.pi / 2)
        return _about_x(0.2 + 0.3 * np.cos(angle)) @ _about_y(0.8 * np.sin(angle)) @ lying
    if upright:
        return _about_x(0.2 + 0.06 * np.sin(angle)) @ _about_z(0.08 * np.cos(angle)) @ _about_y(angle)
    return _about_x(0.12) @ _about_y(angle) @ _about_z(-np.pi / 2 + 0.15) @ _about_y(0.7)


def _surface(fruit: Fruit, turn: Floats) -> tuple[bodies.Hit, Floats]:
    """Return the visible surface of the fruit and its unlit colours, shape (n, 3)."""
    import cv2

    kind = fruit.kind
    if kind.body == "bunch":
        hit, berry = bodies.cast_rays_at_berries(fruit.balls, turn, _FINE)
        outward = (fruit.balls[berry, :3] @ turn.T + hit.normal * fruit.balls[berry, 3:])[:, 2:]
        depth = np.clip(0.55 + 0.55 * outward, 0.25, 1)  # the gaps between berries are dark
        tint: Floats = fruit.tints[berry] * depth
    else:
        shape = bodies.bent if kind.body == "bent" else bodies.revolved
        hit, tint = bodies.cast_rays(shape(kind, fruit.bend), turn, _FINE), np.ones(1, np.float32)
    across, down = hit.around * (WIDTH - 1), hit.down * (HEIGHT - 1)
    colour = cv2.remap(fruit.skin, across[None], down[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)[0]
    return hit, np.asarray(colour * tint, dtype=np.float32)


def _lit(colour: Floats, normal: Floats, gloss: float) -> Floats:
    """Return lit colours, shape (n, 3): a lamp at the upper left, darker rims, and the reflection of a window."""
    facing = np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    shine = np.clip(normal @ (_SHINE / np.linalg.norm(_SHINE)), 0, 1)
    rim = np.sqrt(np.clip(normal[:, 2], 0, 1))
    diffuse = (0.42 + 0.74 * facing) * (0.58 + 0.42 * rim)
    window = gloss * (0.12 * shine**6 + 0.55 * gloss * shine**60)
    return np.asarray(colour * diffuse[:, np.newaxis] + window[:, np.newaxis], dtype=np.float32)


def _fit(canvas: Floats, covered: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Crop and scale so that the fruit fills the photo, as in Fruits-360."""
    import cv2

    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left) + 2
    square = np.ones((side, side, 3), np.float32)
    y, x = (side - (bottom - top)) // 2, (side - (right - left)) // 2
    square[y : y + bottom - top, x : x + right - left] = canvas[top:bottom, left:right]
    small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side >= SIDE else cv2.INTER_LINEAR)
    grain = np.float32(0.008) * rng.standard_normal(small.shape, np.float32) * (small.min(axis=2, keepdims=True) < 0.97)
    return np.asarray(np.clip((small + grain) * 255 + 0.5, 0, 255), dtype=np.uint8)


def _about_x(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], np.float32)


def _about_y(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def _about_z(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
