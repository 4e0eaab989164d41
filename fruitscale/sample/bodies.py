"""The shapes: where a ray from the viewer meets a fruit, and where on its skin that is.

A body has its own axes, the stem's end at y = 1. A turn is the 3 x 3 matrix that takes the body's axes to the viewer's:
x to the right, y up, z towards the viewer, who is far away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.sample.kinds import Kind, Point

Floats = NDArray[np.floating]
Gap = Callable[[Floats, Floats, Floats], Floats]
"""How far a point is outside the body (negative: inside), roughly, in the fruit's radii."""

Place = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
"""Where on the skin a point of the surface is: around and down, 0 to 1."""

REACH = 1.3
"""No body reaches farther from its middle."""
_HALVINGS = 5
_ARC_RADIUS, _ARC_HALF = 1.1, 1.0
"""A banana's middle line: the radius of its bend, and half the angle that it goes round."""


@dataclass(frozen=True)
class Shape:
    """A body, told by functions of points in its own axes."""

    gap: Gap
    place: Place
    bound: float
    """The radius of a sphere around all of it."""
    steps: int = 9
    """Of a ray through that sphere, so that none steps over the thinnest part."""


@dataclass(frozen=True)
class Hit:
    """What the viewer sees of a body: for each pixel that shows it, the surface."""

    seen: NDArray[np.bool_]
    """Which pixels show the body, shape (side, side)."""
    normal: Floats
    """Unit vectors away from the surface, in the viewer's axes, shape (n, 3)."""
    around: Floats
    """Azimuth on the skin, 0 to 1, shape (n,)."""
    down: Floats
    """From the stem's end, 0, to the other, 1, shape (n,)."""


def meet(shape: Shape, turn: Floats, side: int) -> Hit:
    """Follow a ray through each pixel of a square of side x side that shows [-REACH, REACH]."""
    axis = np.linspace(-REACH, REACH, side, dtype=np.float32)
    x, y = (part.ravel() for part in np.meshgrid(axis, -axis))
    half = np.sqrt(np.maximum(shape.bound**2 - x * x - y * y, 0))  # of each ray's way through the sphere around
    near = np.flatnonzero(half)
    depth, found = _nearest(shape, turn, x[near], y[near], half[near])
    shown = near[found]
    seen = np.zeros(side * side, bool)
    seen[shown] = True
    body = _to_body(turn, x[shown], y[shown], depth[found])
    around, down = shape.place(*body)
    return Hit(seen.reshape(side, side), _normals(shape.gap, body) @ turn.T, around, down)


def revolved(kind: Kind, bend: Floats) -> Shape:
    """Return the body that an outline describes as it goes round the axis, with its lobes and unevenness."""
    table = _radius_by_height(kind.outline)

    def gap(x: Floats, y: Floats, z: Floats) -> Floats:
        far = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
        up = y / far
        radius = table[((up + 1) * np.float32(len(table) / 2 - 1)).astype(np.intp)]
        radius = radius * (1 + (bend[0] * x * y + bend[1] * y * z + bend[2] * x * z) / (far * far))
        if kind.lobes:
            wave = np.cos(kind.lobes * np.arctan2(z, x)) * (1 - up * up)
            radius = radius * (1 + np.float32(kind.lobe_depth) * wave)
        outside: Floats = far - radius
        return outside

    def place(x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
        far = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
        return _azimuth(z, x), np.arccos(np.clip(y / far, -1, 1)) / np.float32(np.pi)

    widest = float(table.max()) * (1 + kind.lobe_depth) * (1 + float(np.abs(bend).sum()) / 2)
    return Shape(gap, place, min(widest, REACH))


def bent(kind: Kind, bend: Floats) -> Shape:
    """Return a banana: a tube along an arc in the x-y plane, its thickness that of the outline."""
    heights, radii = _curve(np.array(kind.outline))[::-1].T.astype(np.float32)
    stretch = heights / heights[-1]
    half = np.float32(_ARC_HALF * (1 + bend[0]))

    def along(x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        out = x + np.float32(_ARC_RADIUS * 0.78)
        angle = np.clip(np.arctan2(y, out), -half, half)
        across = out * np.cos(angle) + y * np.sin(angle) - np.float32(_ARC_RADIUS)
        tangent = y * np.cos(angle) - out * np.sin(angle)
        return angle / half, across, tangent, z

    def gap(x: Floats, y: Floats, z: Floats) -> Floats:
        at, across, tangent, depth = along(x, y, z)
        thick = np.interp(at, stretch, radii).astype(np.float32)
        outside: Floats = np.sqrt(across * across + tangent * tangent + depth * depth) - thick
        return outside

    def place(x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
        at, across, _, depth = along(x, y, z)
        return _azimuth(depth, across), (1 - at) / 2

    return Shape(gap, place, bound=1.2, steps=25)


def berries(kind: Kind, rng: np.random.Generator) -> Floats:
    """Place the berries of a bunch evenly on their envelope: rows of x, y, z, radius."""
    heights, radii = np.array(kind.outline, dtype=np.float32)[::-1].T
    count = round(3.4 * float(np.mean(radii)) / kind.berry**2)
    number = np.arange(count) + 0.5
    height = 1 - 2 * number / count
    radius = np.interp(height, heights, radii) * (1 - kind.berry * 0.5)
    azimuth = np.pi * (1 + 5**0.5) * number  # the golden angle: no rows
    rows = np.stack([radius * np.cos(azimuth), height * (1 - kind.berry * 0.4), radius * np.sin(azimuth)], axis=1)
    rows = rows + rng.normal(0, kind.berry * 0.13, rows.shape)
    sizes = kind.berry * rng.uniform(1.05, 1.3, (count, 1))
    shell = np.concatenate([rows, sizes], axis=1)
    core = shell * (0.6, 0.75, 0.6, 1.25)  # those behind, or one could look through
    return np.concatenate([shell, core]).astype(np.float32)


def meet_berries(balls: Floats, turn: Floats, side: int) -> tuple[Hit, NDArray[np.intp]]:
    """Return what is seen of a bunch, and which berry each pixel shows."""
    axis = np.linspace(-REACH, REACH, side, dtype=np.float32)
    depth = np.full((side, side), -np.inf, np.float32)
    owner = np.full((side, side), -1, np.intp)
    centres = balls[:, :3] @ turn.T
    for i, ((cx, cy, cz), radius) in enumerate(zip(centres, balls[:, 3], strict=True)):
        columns = slice(*np.searchsorted(axis, (cx - radius, cx + radius)))
        rows = slice(*np.searchsorted(axis, (-cy - radius, -cy + radius)))
        inside = radius**2 - (axis[columns] - cx) ** 2 - (axis[rows, np.newaxis] + cy) ** 2
        front = np.where(inside > 0, cz + np.sqrt(np.maximum(inside, 0)), -np.inf)
        nearer = front > depth[rows, columns]
        depth[rows, columns][nearer] = front[nearer]
        owner[rows, columns][nearer] = i
    seen = owner >= 0
    row, column = np.nonzero(seen)
    whose = owner[seen]
    points = np.stack([axis[column], -axis[row], depth[seen]], axis=1)
    normal = (points - centres[whose]) / balls[whose, 3:]
    own = normal @ turn
    return Hit(seen, normal, _azimuth(own[:, 2], own[:, 0]), (1 - own[:, 1]) / 2), whose


def _radius_by_height(outline: tuple[Point, ...]) -> Floats:
    """Turn an outline into the distance from the middle by the sine of the latitude, smooth, 8192 values."""
    height, radius = _curve(np.array(outline)).T
    angle = np.arctan2(height, radius)
    fine = np.linspace(-np.pi / 2, np.pi / 2, 361)
    far = np.interp(fine, angle[::-1], np.hypot(height, radius)[::-1])
    kernel = np.hanning(31)
    both = np.concatenate([far[60:0:-1], far, far[-2:-62:-1]])
    smooth = np.convolve(both, kernel / kernel.sum(), mode="same")[60:-60]
    return np.interp(np.arcsin(np.linspace(-1, 1, 8192)), fine, smooth).astype(np.float32)


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw a smooth line (Catmull-Rom) through points; at both ends it goes on as its mirror image."""
    mirrored = np.concatenate([points[1:2] * (1, -1), points, points[-2:-1] * (1, -1)])
    before, start, end, after = (mirrored[i : len(mirrored) - 3 + i, np.newaxis] for i in range(4))
    t = np.linspace(0, 1, 24, endpoint=False)[:, np.newaxis]
    cubic = (3 * (start - end) + after - before) * t**3 + (2 * before - 5 * start + 4 * end - after) * t**2
    line = start + 0.5 * (cubic + (end - before) * t)
    return np.concatenate([line.reshape(-1, 2), points[-1:]])


def _nearest(shape: Shape, turn: Floats, x: Floats, y: Floats, half: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return how near each ray's first point inside the body is to the viewer, and whether there is one."""
    front, back = half.copy(), half.copy()
    found = np.zeros(x.shape, bool)
    todo = np.arange(x.size)
    for part in np.linspace(1, -1, shape.steps, dtype=np.float32)[1:-1]:
        z = part * half[todo]
        within = shape.gap(*_to_body(turn, x[todo], y[todo], z)) < 0
        back[todo] = z
        found[todo[within]] = True
        todo, z = todo[~within], z[~within]
        front[todo] = z
    x, y, near, far = x[found], y[found], front[found], back[found]
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        within = shape.gap(*_to_body(turn, x, y, middle)) < 0
        far, near = np.where(within, middle, far), np.where(within, near, middle)
    back[found] = (near + far) / 2
    return back, found


def _to_body(turn: Floats, x: Floats, y: Floats, z: Floats | np.float32) -> tuple[Floats, Floats, Floats]:
    first, second, third = (turn[0, i] * x + turn[1, i] * y + turn[2, i] * z for i in range(3))
    return first, second, third


def _normals(gap: Gap, body: tuple[Floats, Floats, Floats]) -> Floats:
    """Return the directions in which the gap grows fastest, of length 1."""
    x, y, z = body
    step = np.float32(0.02)
    here = gap(x, y, z)
    slope = np.stack([gap(x + step, y, z) - here, gap(x, y + step, z) - here, gap(x, y, z + step) - here], axis=1)
    return np.asarray(slope / (np.linalg.norm(slope, axis=1, keepdims=True) + 1e-9), dtype=np.float32)


def _azimuth(z: Floats, x: Floats) -> Floats:
    return np.asarray((np.arctan2(z, x) / np.float32(2 * np.pi)) % 1, dtype=np.float32)
