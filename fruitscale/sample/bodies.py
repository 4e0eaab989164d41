"""The shapes of fruits: ray casting onto a body, and the skin coordinates of each hit.

A body has its own axes, with the stem end at y = 1. `turn` is the 3 x 3 matrix from the body's axes to the viewer's: x to
the right, y up, z towards the viewer (orthographic projection).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fruitscale.sample.kinds import Kind, Point

Floats = NDArray[np.floating]
Gap = Callable[[Floats, Floats, Floats], Floats]
"""Approximate signed distance of points from the surface, in fruit radii; negative inside."""

Place = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
"""Skin coordinates of surface points: around and down, 0 to 1."""

REACH = 1.3
"""The maximum distance of any surface point from the centre."""
_HALVINGS = 5
_ARC_RADIUS, _ARC_HALF = 1.1, 1.0
"""A banana's centre line: the radius of the arc and half its angle in radians."""


@dataclass(frozen=True)
class Shape:
    """A body, described by functions of points in its own axes."""

    gap: Gap
    place: Place
    bound: float
    """The radius of the bounding sphere."""
    steps: int = 9
    """Steps of a ray through that sphere, enough not to miss the thinnest part."""


@dataclass(frozen=True)
class Hit:
    """The visible surface of a body; n is the number of pixels that show it."""

    mask: NDArray[np.bool_]
    """The pixels that show the body, shape (side, side)."""
    normal: Floats
    """Surface normals in the viewer's axes, shape (n, 3)."""
    around: Floats
    """Azimuth on the skin, 0 to 1, shape (n,)."""
    down: Floats
    """Position from the stem end (0) to the other end (1), shape (n,)."""


def cast_rays(shape: Shape, turn: Floats, side: int) -> Hit:
    """Cast a ray through each pixel of a side x side square that shows [-REACH, REACH]."""
    axis = np.linspace(-REACH, REACH, side, dtype=np.float32)
    x, y = (part.ravel() for part in np.meshgrid(axis, -axis))
    half = np.sqrt(np.maximum(shape.bound**2 - x * x - y * y, 0))  # half the ray's path through the bounding sphere
    near = np.flatnonzero(half)
    depth, found = _nearest(shape, turn, x[near], y[near], half[near])
    shown = near[found]
    mask = np.zeros(side * side, bool)
    mask[shown] = True
    body = _to_body(turn, x[shown], y[shown], depth[found])
    around, down = shape.place(*body)
    return Hit(mask.reshape(side, side), _normals(shape.gap, body) @ turn.T, around, down)


def revolved(kind: Kind, bend: Floats) -> Shape:
    """Return the body of revolution of an outline, with its lobes and unevenness."""
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
    """Return a banana: a tube along an arc in the x-y plane, as thick as the outline."""
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
    """Return the berries of a bunch, evenly spread over the outline: rows of x, y, z, radius."""
    heights, radii = np.array(kind.outline, dtype=np.float32)[::-1].T
    count = round(3.4 * float(np.mean(radii)) / kind.berry**2)
    number = np.arange(count) + 0.5
    height = 1 - 2 * number / count
    radius = np.interp(height, heights, radii) * (1 - kind.berry * 0.5)
    azimuth = np.pi * (1 + 5**0.5) * number  # golden angle, to avoid visible rows
    rows = np.stack([radius * np.cos(azimuth), height * (1 - kind.berry * 0.4), radius * np.sin(azimuth)], axis=1)
    rows = rows + rng.normal(0, kind.berry * 0.13, rows.shape)
    sizes = kind.berry * rng.uniform(1.05, 1.3, (count, 1))
    shell = np.concatenate([rows, sizes], axis=1)
    core = shell * (0.6, 0.75, 0.6, 1.25)  # an inner layer, so that gaps are not see-through
    return np.concatenate([shell, core]).astype(np.float32)


def cast_rays_at_berries(balls: Floats, turn: Floats, side: int) -> tuple[Hit, NDArray[np.intp]]:
    """Return the visible surface of a bunch, and the index of the berry at each pixel of it."""
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
    mask = owner >= 0
    row, column = np.nonzero(mask)
    berry = owner[mask]
    points = np.stack([axis[column], -axis[row], depth[mask]], axis=1)
    normal = (points - centres[berry]) / balls[berry, 3:]
    own = normal @ turn
    return Hit(mask, normal, _azimuth(own[:, 2], own[:, 0]), (1 - own[:, 1]) / 2), berry


def _radius_by_height(outline: tuple[Point, ...]) -> Floats:
    """Return the smoothed distance of an outline from the centre, at 8192 evenly spaced sines of the latitude."""
    height, radius = _curve(np.array(outline)).T
    angle = np.arctan2(height, radius)
    fine = np.linspace(-np.pi / 2, np.pi / 2, 361)
    far = np.interp(fine, angle[::-1], np.hypot(height, radius)[::-1])
    kernel = np.hanning(31)
    both = np.concatenate([far[60:0:-1], far, far[-2:-62:-1]])
    smooth = np.convolve(both, kernel / kernel.sum(), mode="same")[60:-60]
    return np.interp(np.arcsin(np.linspace(-1, 1, 8192)), fine, smooth).astype(np.float32)


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a Catmull-Rom spline through points, mirrored at both ends."""
    mirrored = np.concatenate([points[1:2] * (1, -1), points, points[-2:-1] * (1, -1)])
    before, start, end, after = (mirrored[i : len(mirrored) - 3 + i, np.newaxis] for i in range(4))
    t = np.linspace(0, 1, 24, endpoint=False)[:, np.newaxis]
    cubic = (3 * (start - end) + after - before) * t**3 + (2 * before - 5 * start + 4 * end - after) * t**2
    line = start + 0.5 * (cubic + (end - before) * t)
    return np.concatenate([line.reshape(-1, 2), points[-1:]])


def _nearest(shape: Shape, turn: Floats, x: Floats, y: Floats, half: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the depth of each ray's first point inside the body, and whether there is one."""
    front, back = half.copy(), half.copy()
    found = np.zeros(x.shape, bool)
    open_rays = np.arange(x.size)
    for part in np.linspace(1, -1, shape.steps, dtype=np.float32)[1:-1]:
        z = part * half[open_rays]
        within = shape.gap(*_to_body(turn, x[open_rays], y[open_rays], z)) < 0
        back[open_rays] = z
        found[open_rays[within]] = True
        open_rays, z = open_rays[~within], z[~within]
        front[open_rays] = z
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
    """Return the unit normals: the normalized gradient of the gap."""
    x, y, z = body
    step = np.float32(0.02)
    here = gap(x, y, z)
    slope = np.stack([gap(x + step, y, z) - here, gap(x, y + step, z) - here, gap(x, y, z + step) - here], axis=1)
    return np.asarray(slope / (np.linalg.norm(slope, axis=1, keepdims=True) + 1e-9), dtype=np.float32)


def _azimuth(z: Floats, x: Floats) -> Floats:
    return np.asarray((np.arctan2(z, x) / np.float32(2 * np.pi)) % 1, dtype=np.float32)
