"""Paint a fruit's skin as a texture: azimuth across (wrapping), stem to tip downwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fruitscale.sample.kinds import Kind, rgb

Floats = NDArray[np.floating]

HEIGHT, WIDTH = 192, 384


def skin(kind: Kind, rng: np.random.Generator) -> Floats:
    """Return the skin of one fruit: RGB from 0 to 1, float32 of shape (HEIGHT, WIDTH, 3)."""
    colour = _gradient(kind)
    if kind.blush:
        side = np.cos(_azimuth() - rng.uniform(0, 2 * np.pi)) * 0.5 + 0.8 * noise(rng, 3, 4) + 0.35 * noise(rng, 12, 20)
        colour = _mix(colour, kind.blush, 0.85 * _step(side, -0.3, 1.0))
    colour = _uneven(colour, kind.mottle * (noise(rng, 6, 10) + 0.7 * noise(rng, 24, 48)))
    colour = _uneven(colour, 0.03 * noise(rng, HEIGHT // 2, WIDTH // 2))
    if kind.speckle:
        colour = _mix(colour, kind.speckle, 0.55 * _dots(rng, 500))
    return np.clip(_end_marks(_pattern(colour, kind, rng), kind), 0, 1).astype(np.float32)


def noise(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return smooth noise with `rows` x `columns` bumps, about -1 to 1, shape (HEIGHT, WIDTH), wrapping across."""
    import cv2

    grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    wrapped = np.concatenate([grid[:, -2:], grid, grid[:, :2]], axis=1)
    width = round(WIDTH * (columns + 4) / columns)
    margin = (width - WIDTH) // 2
    large = cv2.resize(wrapped, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[:, margin : margin + WIDTH], dtype=np.float32)


def _gradient(kind: Kind) -> Floats:
    stops = np.array([rgb(colour) for colour in kind.colours])
    at = np.linspace(0, 1, HEIGHT)
    line = [np.interp(at, np.linspace(0, 1, len(stops)), stops[:, i]) for i in range(3)]
    return np.repeat(np.stack(line, axis=1)[:, np.newaxis], WIDTH, axis=1).astype(np.float32)


def _azimuth() -> Floats:
    return np.linspace(0, 2 * np.pi, WIDTH, endpoint=False, dtype=np.float32)[np.newaxis]


def _down() -> Floats:
    return np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, np.newaxis]


def _pattern(colour: Floats, kind: Kind, rng: np.random.Generator) -> Floats:
    """Draw the pattern of the whole skin; relief is painted as light and shade from above."""
    strength = kind.strength
    match kind.pattern:
        case "pores":
            colour = _relief(colour, noise(rng, 84, 160), 0.09 * strength)
        case "bumps":
            colour = _relief(colour, noise(rng, 26, 52), 0.5 * strength)
        case "streaks":
            long = noise(rng, 4, 90) + 0.6 * noise(rng, 8, 40)
            colour = _mix(colour, kind.colours[0], strength * _step(long, 0.1, 0.9))
        case "fibres":
            colour = _uneven(colour, 0.5 * strength * (noise(rng, 10, 190) + noise(rng, 22, 130)))
        case "stripes":
            wave = np.cos(9 * _azimuth() + 1.6 * noise(rng, 9, 9)) + 0.7 * noise(rng, 20, 40)
            colour = _mix(colour, "16361a", strength * _step(wave, 0.1, 0.7))
        case "net":
            lines = np.minimum(np.abs(noise(rng, 14, 24)), np.abs(noise(rng, 18, 30)))
            colour = _mix(colour, "d8ccb0", strength * (1 - _step(lines, 0.03, 0.14)))
            colour = _uneven(colour, 0.1 * noise(rng, 40, 80))
        case "scales":
            colour = _uneven(_scales(colour, strength, 0.22 * noise(rng, 20, 40)), 0.22 * noise(rng, 60, 110))
        case "seeds":
            colour = _seeds(colour, strength)
    return colour


def _lattice(rows: int, columns: int) -> tuple[Floats, Floats, Floats]:
    """Return each pixel's position in a staggered cell (across and down, -1 to 1), and the cell's position (0 to 1)."""
    y = _down() * rows + 0 * _azimuth()
    x = _azimuth() / (2 * np.pi) * columns
    first = np.round(y)
    across = x + 0.5 * (first % 2)
    u = (across - np.floor(across) - 0.5) * 2
    return u.astype(np.float32), ((y - first) * 2).astype(np.float32), (first / rows).astype(np.float32)


def _scales(colour: Floats, strength: float, jitter: Floats) -> Floats:
    """Draw a pineapple's eyes: lozenges with a bright centre and a dark rim."""
    y, x = _down() * 16, _azimuth() / (2 * np.pi) * 12
    a, b = (x + y / 2) + jitter, (x - y / 2) - jitter
    u, v = np.abs(a - np.round(a)) * 2, np.abs(b - np.round(b)) * 2
    rim = np.maximum(u, v)
    middle = 1 - np.clip(np.hypot(u, v) * 1.6, 0, 1)
    dark = _mix(colour, "2a1c0e", strength * 0.9 * _step(rim, 0.62, 0.98))
    return _mix(dark, "d8b878", 0.75 * strength * _step(middle, 0.35, 0.9))


def _seeds(colour: Floats, strength: float) -> Floats:
    """Draw a strawberry's seeds, each in a small hollow."""
    u, v, down = _lattice(15, 15)
    wide = np.sin(np.pi * np.clip(down, 0.05, 0.95))  # the texture narrows at the ends: keep the seeds round
    far = np.hypot(u * wide * 1.15, v * 0.8)
    near_end = _step(wide, 0.25, 0.5)
    hollow = _mix(colour, "5a0608", 0.5 * strength * near_end * (1 - _step(np.abs(far - 0.4), 0.08, 0.3)))
    return _mix(hollow, "d8b060", strength * near_end * (1 - _step(far, 0.16, 0.32)))


def _dots(rng: np.random.Generator, count: int) -> Floats:
    """Return a mask of small round dots, uniformly distributed."""
    import cv2

    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y, size in zip(
        rng.integers(0, WIDTH, count), rng.integers(0, HEIGHT, count), rng.uniform(0, 1, count), strict=True
    ):
        cv2.circle(mask, (int(x), int(y)), int(size > 0.8), float(0.4 + 0.6 * size), -1)
    return np.asarray(cv2.GaussianBlur(mask, (3, 3), 0.7), dtype=np.float32)


def _end_marks(colour: Floats, kind: Kind) -> Floats:
    """Darken the hollow of the stem and mark the other end, where the blossom was."""
    if kind.body == "bunch":
        return colour
    y = _down() + 0 * _azimuth()
    if kind.body == "bent":
        return _mix(colour, "3a2c18", 0.8 * (1 - _step(y, 0.02, 0.06)) + 0.9 * _step(y, 0.955, 0.985))
    shade = 0.55 * (1 - _step(y, 0.0, 0.035))
    return _mix(_mix(colour, "2c1e10", shade), "33240f", 0.75 * _step(y, 0.992, 0.998))


def _relief(colour: Floats, height: Floats, strength: float) -> Floats:
    """Light the slopes that face up and darken those that face down."""
    slope = np.gradient(height, axis=0) * 4 + np.gradient(height, axis=1) * 2
    return _uneven(colour, strength * np.clip(slope, -1.5, 1.5))


def _uneven(colour: Floats, by: Floats) -> Floats:
    """Scale a colour by 1 + `by` per pixel."""
    factor: Floats = 1 + by[..., np.newaxis]
    return colour * factor


def _mix(colour: Floats, other: str, amount: Floats) -> Floats:
    weight = np.clip(amount, 0, 1)[..., np.newaxis].astype(np.float32)
    return colour * (1 - weight) + np.array(rgb(other), np.float32) * weight


def _step(values: NDArray[np.floating], low: float, high: float) -> Floats:
    """Return 0 below `low`, 1 above `high`, and a smooth transition in between (smoothstep)."""
    t = np.clip((values - low) / (high - low), 0, 1)
    smooth: Floats = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth
