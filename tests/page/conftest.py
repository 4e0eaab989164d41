"""A run whose photos are told apart by their colour, one label of which would be a script; and a real browser."""

from __future__ import annotations

import colorsys
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

import fruitscale

LABELS, EACH = 131, 5
HOSTILE = "<img src=x onerror=document.title='taken'>"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def label(number: int) -> str:
    return HOSTILE if number == 0 else f"Fruit {number:03d} & Söhne"


def colour(number: int, photo: int) -> tuple[int, int, int]:
    """The colour of a photo: none of another label's is near."""
    red, green, blue = colorsys.hsv_to_rgb(number / LABELS, 0.95 - 0.1 * photo, 0.95 - 0.15 * (number % 3))
    return round(255 * red), round(255 * green), round(255 * blue)


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """131 labels of 5 photos, each of one colour; and two that can't be used."""
    folder = tmp_path_factory.mktemp("coloured") / "in"
    for number in range(LABELS):
        (folder / label(number)).mkdir(parents=True)
        for photo in range(EACH):
            pixels = np.full((48, 48, 3), colour(number, photo), np.uint8)
            content = simplejpeg.encode_jpeg(pixels, 95, "RGB", "444")
            (folder / label(number) / f"{photo} é <b>.jpg").write_bytes(content)
    (folder / label(7) / "broken <i>.jpg").write_bytes(b"no photo")
    (folder / label(8) / "empty.jpg").write_bytes(b"")
    return folder


def options(source: Path, target: Path, **more: Any) -> dict[str, Any]:
    model = {"architecture": "patch_mean", "input_size": 32}
    places = {"input": {"uri": str(source)}, "output": {"uri": str(target)}}
    return {"engine": "local", "slots": 2, "model": model, **places, **more}


@pytest.fixture(scope="session")
def made(coloured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, with its page."""
    target = tmp_path_factory.mktemp("page") / "run"
    fruitscale.run(options(coloured, target))
    return target


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; in CI it must be there. Of this module only: Playwright's event loop would be in others' way."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        assert not os.environ.get("CI"), "CI has no Chromium: .ci/run installs it"
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=found, args=root)
        yield chromium
        chromium.close()
