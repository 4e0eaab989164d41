"""Labels are told apart on light and dark pages, by colour-blind readers too, and by more than colour."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import rgb2lab

from fruitscale.report.html_page import TEMPLATES
from fruitscale.report.palette import DARK, LIGHT, SHAPES, style_of

VISION = {
    "normal": np.eye(3),
    # Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency",
    # severity 1, on linear RGB
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
PAGES = {"light": (LIGHT, "#ffffff"), "dark": (DARK, "#14161a")}


def linear(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def seen(colour: str, vision: str) -> NDArray[np.float64]:
    values = np.clip(VISION[vision] @ linear(colour), 0, 1)
    shown = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    lab: NDArray[np.float64] = rgb2lab(shown.reshape(1, 1, 3)).reshape(3)
    return lab


def contrast(one: str, other: str) -> float:
    lights = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other))
    return lights[1] / lights[0]


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("page", PAGES)
def test_colours_are_told_apart(page: str, vision: str) -> None:
    tones, _ = PAGES[page]
    nearest = min((float(np.linalg.norm(seen(a, vision) - seen(b, vision))), a, b) for a, b in combinations(tones, 2))
    assert nearest[0] > 14, nearest  # a difference of 2.3 is just seen (CIE 1976)


@pytest.mark.parametrize("page", PAGES)
def test_colours_stand_out_from_their_page(page: str) -> None:
    tones, ground = PAGES[page]
    assert ground in (TEMPLATES / "style.css").read_text()
    assert min(contrast(tone, ground) for tone in tones) >= 3


def test_140_looks_differ_and_neighbours_differ_in_colour() -> None:
    looks = [style_of(number) for number in range(140)]
    assert len(set(looks)) == 140
    assert all(a.tone != b.tone for a, b in pairwise(looks))
    script = (TEMPLATES / "page.js").read_text()
    assert all(f"    {shape}: " in script for shape in SHAPES)
