"""The table of fruits: outline, colours, skin pattern and stem of each class, named as in Fruits-360."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Point = tuple[float, float]
Colour = tuple[float, float, float]
Body = Literal["revolved", "bent", "bunch"]
Pattern = Literal["smooth", "pores", "fibres", "scales", "seeds", "stripes", "net", "bumps", "streaks"]
Top = Literal["bare", "stem", "long stem", "leaves", "crown", "calyx", "hairs"]

ROUND: tuple[Point, ...] = ((0.95, 0), (0.93, 0.35), (0.68, 0.75), (0, 1), (-0.66, 0.76), (-0.92, 0.35), (-0.94, 0))
APPLE: tuple[Point, ...] = (
    (0.66, 0), (0.84, 0.16), (0.93, 0.4), (0.75, 0.8), (0.2, 1), (-0.45, 0.86), (-0.85, 0.48), (-0.82, 0.2), (-0.74, 0),
)  # fmt: skip
FLAT: tuple[Point, ...] = ((0.6, 0), (0.7, 0.3), (0.6, 0.7), (0.05, 1), (-0.52, 0.76), (-0.7, 0.35), (-0.66, 0))
OVAL: tuple[Point, ...] = ((1, 0), (0.93, 0.3), (0.6, 0.6), (0, 0.76), (-0.6, 0.62), (-0.93, 0.32), (-1, 0))
LEMON: tuple[Point, ...] = (
    (1.08, 0), (1.02, 0.13), (0.86, 0.3), (0.5, 0.62), (0, 0.76), (-0.5, 0.63), (-0.86, 0.32), (-1.04, 0.16), (-1.14, 0),
)  # fmt: skip
PEAR: tuple[Point, ...] = (
    (1.1, 0), (1.06, 0.17), (0.8, 0.34), (0.4, 0.5), (-0.1, 0.76), (-0.5, 0.84), (-0.85, 0.6), (-0.98, 0.28), (-0.95, 0),
)  # fmt: skip
EGG: tuple[Point, ...] = ((1, 0), (0.93, 0.26), (0.6, 0.54), (0, 0.76), (-0.5, 0.76), (-0.88, 0.45), (-1, 0))
CONE: tuple[Point, ...] = (
    (0.72, 0), (0.8, 0.35), (0.66, 0.7), (0.3, 0.78), (-0.2, 0.6), (-0.7, 0.36), (-1, 0.14), (-1.06, 0),
)  # fmt: skip
BARREL: tuple[Point, ...] = ((0.98, 0), (0.95, 0.42), (0.6, 0.72), (0, 0.8), (-0.6, 0.72), (-0.93, 0.46), (-0.97, 0))
BANANA: tuple[Point, ...] = (
    (1, 0.055), (0.9, 0.075), (0.78, 0.12), (0.6, 0.21), (0.25, 0.26), (-0.3, 0.26), (-0.7, 0.19), (-0.92, 0.09), (-1, 0.06),
)  # fmt: skip
PINE: tuple[Point, ...] = (
    (0.4, 0), (0.38, 0.26), (0.2, 0.48), (-0.2, 0.58), (-0.6, 0.58), (-0.95, 0.44), (-1.08, 0.22), (-1.1, 0),
)  # fmt: skip
FINGER: tuple[Point, ...] = ((1.2, 0), (1.1, 0.24), (0.7, 0.44), (0, 0.5), (-0.7, 0.46), (-1.1, 0.26), (-1.2, 0))
BULB: tuple[Point, ...] = (
    (1.05, 0), (0.95, 0.14), (0.72, 0.3), (0.42, 0.72), (0, 0.92), (-0.45, 0.84), (-0.78, 0.45), (-0.86, 0),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """The appearance of one class. Lengths are in units of the fruit's radius, strengths from 0 to 1."""

    name: str
    outline: tuple[Point, ...]
    """Half a cross-section from the stem down, as (height on the axis, distance from it); the envelope of a bunch."""
    colours: tuple[str, ...]
    """RGB in hex, from the stem end to the other end."""
    blush: str = ""
    """The colour of the sunny side; empty: none."""
    pattern: Pattern = "smooth"
    strength: float = 0.3
    """The strength of the pattern."""
    mottle: float = 0.08
    """Unevenness of the colour."""
    speckle: str = ""
    """The colour of small dots; empty: none."""
    gloss: float = 0.3
    top: Top = "bare"
    body: Body = "revolved"
    lobes: int = 0
    lobe_depth: float = 0.0
    uneven: float = 0.04
    """Deviation from a body of revolution."""
    berry: float = 0.0
    """The radius of each berry of a bunch."""


KINDS: tuple[Kind, ...] = (
    Kind("Apple Red", APPLE, ("c8a04a", "a8161c", "8c1018"), blush="d8202a", pattern="streaks",
         strength=0.35, mottle=0.1, speckle="d89080", gloss=0.5, top="stem"),
    Kind("Banana", BANANA, ("c8b43c", "e6b422", "eabb2c", "e0ac20", "d0a428"), blush="c8b43c", mottle=0.1,
         speckle="6a4a1a", gloss=0.15, body="bent"),
    Kind("Orange", ROUND, ("e07a10", "ee8412", "e67c10"), pattern="pores", strength=0.5, mottle=0.05,
         gloss=0.3, top="calyx", uneven=0.02),
    Kind("Pear", PEAR, ("a89a3c", "bcb04a", "a8a840"), blush="c8a850", mottle=0.1, speckle="7a6a2a",
         gloss=0.15, top="stem", uneven=0.07),
    Kind("Strawberry", CONE, ("d88a6a", "c41a1c", "b80f16", "a80c14"), pattern="seeds", strength=0.8,
         mottle=0.1, gloss=0.4, top="leaves", uneven=0.08),
    Kind("Kiwi", BARREL, ("6a4e2c", "94703c", "8a6636", "5e4426"), pattern="fibres", strength=0.3,
         mottle=0.12, speckle="5a4020", gloss=0.0, uneven=0.04),
    Kind("Grape Blue", OVAL, ("4a4a7a", "322e5a", "3a3468"), blush="54447a", mottle=0.2, gloss=0.5,
         body="bunch", berry=0.27),
    Kind("Lemon", LEMON, ("e2b216", "f2c01c", "e8b414"), pattern="pores", strength=0.4, mottle=0.06,
         gloss=0.3, uneven=0.04),
    Kind("Pineapple", PINE, ("7a5a24", "a0702c", "b07c34", "6a4a20"), pattern="scales", strength=0.9,
         mottle=0.15, gloss=0.1, top="crown", uneven=0.03),
    Kind("Raspberry", EGG, ("c02a4a", "b81c40", "a81638"), blush="d04a68", mottle=0.15, gloss=0.35,
         body="bunch", berry=0.17),
    Kind("Avocado", EGG, ("34401c", "2c3a18", "28341a"), blush="3c4a22", pattern="bumps", strength=0.6,
         mottle=0.15, speckle="52602c", gloss=0.15, top="stem"),
    Kind("Plum", OVAL, ("5a2244", "4a1838", "3c1634"), blush="7a3a5a", mottle=0.2, speckle="8a6a8a",
         gloss=0.25, top="stem", lobes=1, lobe_depth=0.05),
    Kind("Watermelon", ROUND, ("3c6a2c", "5a8a3c", "44742e"), pattern="stripes", strength=0.8, mottle=0.1,
         gloss=0.25, top="stem", uneven=0.03),
    Kind("Mango", EGG, ("4a6a38", "587a40", "647c40"), blush="a0683c", mottle=0.1, speckle="a8b070",
         gloss=0.2, top="stem", uneven=0.1),
    Kind("Cherry", APPLE, ("5a0a10", "6a0c12", "4c080e"), blush="8a141c", mottle=0.1, gloss=0.9,
         top="long stem", uneven=0.05),
    Kind("Cocos", BARREL, ("5a3a26", "6a4630", "5c3c2a"), pattern="fibres", strength=0.9, mottle=0.2,
         speckle="3a2418", gloss=0.0, top="hairs", uneven=0.05),
    Kind("Apple Golden", APPLE, ("b0a034", "d4c04a", "c8b444"), blush="d8b050", pattern="streaks",
         strength=0.12, mottle=0.12, speckle="8a7430", gloss=0.25, top="stem", uneven=0.07),
    Kind("Pepper Red", BARREL, ("a80e10", "c01216", "b01014"), mottle=0.05, gloss=0.8, top="stem", lobes=4,
         lobe_depth=0.13),
    Kind("Limes", LEMON, ("4a7a1c", "5a9024", "52842a"), blush="8aa03c", pattern="pores", strength=0.4,
         gloss=0.3, uneven=0.04),
    Kind("Tomato", FLAT, ("c83018", "d02a16", "bc2012"), blush="d85020", mottle=0.06, gloss=0.7,
         top="calyx", lobes=5, lobe_depth=0.025),
    Kind("Pomegranate", ROUND, ("a02a28", "a81e26", "96202a"), blush="c8584a", mottle=0.15,
         speckle="6a2a1c", gloss=0.3, top="calyx", lobes=6, lobe_depth=0.02),
    Kind("Carambula", OVAL, ("b8b030", "d8c034", "c8b82c"), blush="a8b83c", gloss=0.5, lobes=5,
         lobe_depth=0.3),
    Kind("Peach", ROUND, ("d88a44", "e09a54", "d07a48"), blush="b8303a", mottle=0.15, speckle="e0b080",
         gloss=0.05, lobes=1, lobe_depth=0.06),
    Kind("Cantaloupe", ROUND, ("b09a6a", "bca878", "a89468"), pattern="net", strength=0.7, mottle=0.1,
         gloss=0.05, top="stem", uneven=0.03),
    Kind("Eggplant", FINGER, ("2c1a34", "2a1430", "241028"), blush="3c2048", gloss=0.9, top="calyx",
         uneven=0.1),
    Kind("Grape White", OVAL, ("b4b45c", "c0bc68", "aca854"), blush="c8b868", mottle=0.07, gloss=0.5,
         body="bunch", berry=0.29),
    Kind("Apple Granny Smith", APPLE, ("6a9a2c", "84ac38", "7aa434"), blush="a0b048", mottle=0.06,
         speckle="c8d890", gloss=0.4, top="stem"),
    Kind("Tamarillo", OVAL, ("6a1420", "8c1626", "7a1222"), blush="a82a2c", gloss=0.7, top="long stem",
         uneven=0.03),
    Kind("Clementine", FLAT, ("d86a10", "e87a14", "e07212"), pattern="pores", strength=0.6, mottle=0.06,
         gloss=0.35, top="calyx", uneven=0.03),
    Kind("Blueberry", FLAT, ("2a3454", "3a4670", "34406a"), blush="5a6890", mottle=0.2, gloss=0.15,
         top="calyx"),
    Kind("Cactus fruit", BARREL, ("8a6a30", "b8502c", "a83a2a"), blush="c88a3a", pattern="bumps",
         strength=0.3, mottle=0.15, speckle="5a3a1c", gloss=0.15, uneven=0.06),
    Kind("Papaya", PEAR, ("7a8a34", "b8a038", "c89a34"), blush="d08a2c", mottle=0.12, speckle="8a7a30",
         gloss=0.2, top="stem", uneven=0.05),
    Kind("Fig", BULB, ("5a6a34", "4a2a44", "3a2038"), blush="6a4a50", pattern="streaks", strength=0.4,
         mottle=0.15, gloss=0.1, top="stem"),
    Kind("Lychee", ROUND, ("a83a44", "b04450", "9c3440"), blush="c07a68", pattern="bumps", strength=0.9,
         mottle=0.15, gloss=0.05, uneven=0.06),
    Kind("Apple Braeburn", APPLE, ("b8a044", "b03a28", "a02c24"), blush="c8a84c", pattern="streaks",
         strength=0.5, mottle=0.14, speckle="d8b080", gloss=0.45, top="stem"),
    Kind("Melon Piel de Sapo", BARREL, ("4a5a28", "5a6a2e", "4e5e2a"), blush="8a8a3c", pattern="net",
         strength=0.35, mottle=0.25, speckle="2c3c18", gloss=0.2, uneven=0.04),
    Kind("Redcurrant", EGG, ("b81414", "c81c18", "a81012"), blush="d83a30", mottle=0.1, gloss=0.9,
         body="bunch", berry=0.24),
    Kind("Kaki", FLAT, ("d8701c", "e07a24", "d06818"), gloss=0.4, top="leaves", lobes=4, lobe_depth=0.03),
    Kind("Banana Red", BANANA, ("7a4a2c", "8a3a30", "9a4436", "7a302a", "6a3a2a"), blush="a8603c",
         mottle=0.12, speckle="4a2018", gloss=0.15, body="bent"),
    Kind("Walnut", ROUND, ("a87c4c", "b48858", "a07646"), pattern="net", strength=0.9, mottle=0.15,
         gloss=0.05, uneven=0.06),
    Kind("Physalis", ROUND, ("d8981c", "e4a41e", "d8941a"), blush="c88a1c", mottle=0.06, gloss=0.6,
         top="stem"),
    Kind("Quince", PEAR, ("c8b040", "d8bc44", "c8ac3c"), blush="a8983c", mottle=0.14, speckle="a08030",
         gloss=0.1, top="stem", lobes=5, lobe_depth=0.04, uneven=0.08),
    Kind("Mulberry", OVAL, ("2c1024", "3a142c", "280e20"), blush="5a1c38", mottle=0.2, gloss=0.6,
         body="bunch", berry=0.16),
    Kind("Passion Fruit", ROUND, ("4a2a34", "54303a", "442630"), blush="6a4048", pattern="pores",
         strength=0.3, mottle=0.15, speckle="8a6a70", gloss=0.2, top="stem"),
)  # fmt: skip

MAX_CLASSES = 131
"""The number of classes in Fruits-360."""


def first_kinds(count: int) -> list[Kind]:
    """Return the first kinds of the table, then varieties of them in other colours, such as `Apple Red 2`."""
    return [kind for kind, _ in zip(_endless(), range(count), strict=False)]


def _endless() -> Iterator[Kind]:
    yield from KINDS
    number = 2
    while True:
        yield from (_variety(kind, number) for kind in KINDS)
        number += 1


def _variety(kind: Kind, number: int) -> Kind:
    """Return a kind with its hue and lightness shifted, differently for each number."""
    hue, light = ((0.045, 1.15), (-0.04, 0.82), (0.09, 0.95))[(number - 2) % 3]
    return replace(
        kind,
        name=f"{kind.name} {number}",
        colours=tuple(_shifted(colour, hue, light) for colour in kind.colours),
        blush=_shifted(kind.blush, -hue / 3, light) if kind.blush else "",
        outline=tuple((height * (1 + hue), radius) for height, radius in kind.outline),
        uneven=kind.uneven + 0.02,
    )


def rgb(colour: str) -> Colour:
    """Return `rrggbb` as three numbers from 0 to 1."""
    red, green, blue = bytes.fromhex(colour)
    return red / 255, green / 255, blue / 255


def _shifted(colour: str, hue: float, light: float) -> str:
    h, s, v = colorsys.rgb_to_hsv(*rgb(colour))
    shifted = colorsys.hsv_to_rgb((h + hue) % 1, s, min(v * light, 1))
    return bytes(round(255 * part) for part in shifted).hex()
