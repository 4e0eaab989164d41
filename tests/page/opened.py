"""A page in a real browser with the network off, and what is asked of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DARK: dict[str, Any] = {**DESKTOP, "color_scheme": "dark"}
PRINT: dict[str, Any] = {"viewport": {"width": 720, "height": 1000}}
PLACES = """() => {
  const view = [...Bokeh.index.roots].find(view => view.model.renderers.some(r => r.data_source?.name === "points"));
  const source = view.model.renderers.find(r => r.data_source?.name === "points").data_source;
  const box = view.canvas_view.el.getBoundingClientRect();
  const {x_scale, y_scale} = view.frame;
  const across = x_scale.v_compute(source.get("x")), up = y_scale.v_compute(source.get("y"));
  return Array.from(across, (x, point) => [box.x + x, box.y + up[point]]);
}"""


class Opened:
    """An open page; whatever went wrong in it is in `problems`."""

    def __init__(self, page: Any, problems: list[str]) -> None:
        self.page, self.problems = page, problems

    def points(self) -> dict[str, Any]:
        """Label number, path and number of the thumbnail of each point."""
        points: dict[str, Any] = self.page.evaluate("JSON.parse(document.getElementById('data').textContent).points")
        return points

    def places(self) -> NDArray[np.float64]:
        """Where each point is in the window, with the figure scrolled to."""
        self.page.locator("#scatter").scroll_into_view_if_needed()
        return np.array(self.page.evaluate(PLACES))

    def place(self, point: int) -> tuple[float, float]:
        """Where a point is."""
        x, y = self.places()[point].tolist()
        return x, y

    def alone(self, labels: list[int]) -> list[int]:
        """Of each label the point that is furthest from all others in the window."""
        places = self.places()
        apart = np.linalg.norm(places[:, None] - places[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        of = np.array(self.points()["label"])
        return [int(max(np.flatnonzero(of == label), key=lambda point: apart[point].min())) for label in labels]

    def hover(self, point: int) -> None:
        x, y = self.place(point)
        self.page.mouse.move(x - 40, y - 40)
        self.page.mouse.move(x, y, steps=3)

    def tip(self) -> Any:
        return self.page.locator("#tip")


@contextmanager
def opened(browser: Any, file: Path, **options: Any) -> Iterator[Opened]:
    """Open a page from disk with the network off, and wait until it is drawn."""
    problems: list[str] = []
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda sent: problems.append(sent.url) if not sent.url.startswith(("file:", "data:")) else None)
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    try:
        yield Opened(page, problems)
    finally:
        context.close()


def mean_colour(data_uri: str) -> NDArray[np.float64]:
    """The mean colour of a JPEG that is in an address."""
    pixels = simplejpeg.decode_jpeg(base64.b64decode(data_uri.partition("base64,")[2]), "RGB")
    mean: NDArray[np.float64] = np.asarray(pixels, np.float64).mean(axis=(0, 1))
    return mean
