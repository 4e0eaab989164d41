"""Plants known faults among good photos: what `fruitscale inspect` should find."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


@dataclass
class Planted:
    """The planted paths, relative to the folder: each copy with its original, each wrong label with the right one."""

    copies: dict[str, str] = field(default_factory=dict)
    wrong_labels: dict[str, str] = field(default_factory=dict)
    blurred: set[str] = field(default_factory=set)
    dark: set[str] = field(default_factory=set)
    other: set[str] = field(default_factory=set)


def plant(
    folder: Path, copies: int = 100, wrong: int = 30, blurred: int = 20, dark: int = 20, other: int = 10, seed: int = 0
) -> Planted:
    """Change a folder of photos, one folder per label, in place; no photo is changed twice."""
    chance, planted = random.Random(seed), Planted()
    photos = sorted(folder.rglob("*.jpg"))
    labels = sorted({path.parent.name for path in photos})
    chance.shuffle(photos)
    of = iter(photos)
    for number, path in enumerate(_some(of, copies)):
        copy = path.with_name(f"copy-{number:03d}.jpg")
        _copy(path, copy, chance)
        planted.copies[_name(copy, folder)] = _name(path, folder)
    for number, path in enumerate(_some(of, wrong)):
        wrong_label = chance.choice([label for label in labels if label != path.parent.name])
        moved = path.rename(folder / wrong_label / f"moved-{number:03d}.jpg")
        planted.wrong_labels[_name(moved, folder)] = path.parent.name
    for path in _some(of, blurred):
        _change(path, lambda image: image.filter(ImageFilter.GaussianBlur(chance.uniform(2, 4) * image.width / 100)))
        planted.blurred.add(_name(path, folder))
    for path in _some(of, dark):
        factor = chance.uniform(0.1, 0.3)
        _change(path, lambda image, by=factor: image.point(lambda value: value * by))  # type: ignore[misc]
        planted.dark.add(_name(path, folder))
    for number in range(other):
        path = folder / chance.choice(labels) / f"other-{number:03d}.jpg"
        OTHERS[number % len(OTHERS)](number).save(path, quality=90)
        planted.other.add(_name(path, folder))
    return planted


def _some(photos: Iterator[Path], count: int) -> Sequence[Path]:
    return [next(photos) for _ in range(count)]


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _copy(path: Path, copy: Path, chance: random.Random) -> None:
    """Compress a photo again, at quality 60 to 90; resize one in three."""
    image: Image.Image = Image.open(path)
    if chance.random() < 1 / 3:
        scale = chance.uniform(0.6, 1.5)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    image.save(copy, quality=chance.randint(60, 90))


def _change(path: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    change(Image.open(path).convert("RGB")).save(path, quality=90)


def _noise(number: int) -> Image.Image:
    values = np.random.default_rng(number).integers(0, 256, (100, 100, 3))
    return Image.fromarray(values.astype(np.uint8))


def _text(number: int) -> Image.Image:
    image = Image.new("RGB", (100, 100), "white")
    for line in range(9):
        ImageDraw.Draw(image).text((4, 3 + 11 * line), f"Invoice {number}: {line * 37} EUR", fill="black")
    return image


def _gradient(number: int) -> Image.Image:
    y, x = np.mgrid[0:1:100j, 0:1:100j]
    return Image.fromarray((np.stack([x, y, (x + number) % 1], axis=2) * 255).astype(np.uint8))


def _screenshot(number: int) -> Image.Image:
    image = Image.new("RGB", (160, 100), "#f4f4f4")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 160, 12), fill="#20304f")
    draw.rectangle((0, 12, 30, 100), fill="#d8dde6")
    for line in range(7):
        draw.text((36, 16 + 11 * line), f"File {line + number}.doc", fill="#222222")
    return image


OTHERS = (_noise, _text, _gradient, _screenshot)
