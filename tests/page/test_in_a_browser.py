"""The pages in a real Chromium, from disk, with the network off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from tests.page.conftest import EACH, HOSTILE, LABELS, colour, label
from tests.page.opened import DARK, DESKTOP, PHONE, PRINT, Opened, mean_colour, opened

LOADED = [
    pytest.param("page", DESKTOP, True, id="page light"),
    pytest.param("page", DARK, True, id="page dark"),
    pytest.param("page", PHONE, False, id="page phone"),
    pytest.param("bench", DESKTOP, True, id="bench light"),
    pytest.param("bench", PHONE, False, id="bench phone"),
]
FEWER_ROWS = "all => all.forEach(box => { box.value = 'Fruit 00'; box.dispatchEvent(new Event('input')); })"
"""One of 131 rows of the list is like another, and an audit takes its time for each."""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def page(made: Path) -> Path:
    return made / "report.html"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fruitscale.bench.bench_page import publish
    from tests.page.bench_files import write

    return publish(write(tmp_path_factory.mktemp("bench")))


@pytest.fixture(scope="module")
def once(browser: Any, page: Path) -> Iterator[Opened]:
    with opened(browser, page, **DESKTOP) as at:
        yield at


@pytest.fixture
def at(once: Opened) -> Iterator[Opened]:
    """The page of the run, opened once; what a test did to it is undone."""
    yield once
    once.page.get_by_role("searchbox", name="Search labels").fill("")
    once.page.get_by_role("button", name="All").click()
    once.page.get_by_label("Up").select_option("Component 2")
    once.page.mouse.move(5, 5)


def violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize(("which", "window", "audited"), LOADED)
def test_it_loads_from_disk_fits_and_is_accessible(
    browser: Any, which: str, window: dict[str, Any], audited: bool, request: pytest.FixtureRequest
) -> None:
    with opened(browser, request.getfixturevalue(which), **window) as at:
        assert at.page.locator("canvas").count() >= 2
        assert at.page.evaluate(OVERFLOW) == 0
        if audited:
            at.page.locator("#label-search").evaluate_all(FEWER_ROWS)
            assert violations(at.page) == []
        assert at.problems == []


def test_printed_it_fits_and_is_light(browser: Any, page: Path) -> None:
    with opened(browser, page, **PRINT, color_scheme="dark") as at:
        assert at.page.pdf().startswith(b"%PDF")
        at.page.emulate_media(media="print")
        assert at.page.evaluate(OVERFLOW) == 0
        assert at.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not at.page.locator("#across").is_visible()


def test_hovering_a_point_shows_its_photo(at: Opened) -> None:
    points = at.points()
    for point in at.alone([3, 40, 77, 110]):
        at.hover(point)
        number = points["label"][point]
        assert at.tip().locator("strong").inner_text() == label(number)
        path = points["path"][point]
        assert at.tip().locator("span").first.inner_text() == path
        assert path.startswith(f"{label(number)}/")
        shown = mean_colour(at.tip().locator("img").get_attribute("src"))
        photo = int(path.rpartition("/")[2][0])
        np.testing.assert_allclose(shown, colour(number, photo), atol=12)
    at.page.mouse.move(5, 5)
    assert not at.tip().is_visible()


def test_a_checkbox_hides_its_label_by_mouse_and_by_keyboard(at: Opened) -> None:
    box, keyboard = at.page.get_by_role("checkbox", name=label(40)), at.page.keyboard
    (point,) = at.alone([40])
    for act, shown in [
        (None, True),
        (box.click, False),
        (lambda: keyboard.press("Space"), True),
        (box.click, False),
    ]:
        if act is not None:
            box.focus()
            act()
        at.hover(point)
        seen = at.tip().is_visible() and at.tip().locator("strong").inner_text() == label(40)
        assert seen == box.is_checked() == shown
        count = LABELS if shown else LABELS - 1
        assert at.page.get_by_role("status").inner_text() == f"{count} of {LABELS} shown"


def test_what_looks_like_a_script_is_text(at: Opened) -> None:
    assert HOSTILE in at.page.locator("#label-list").inner_text()
    (point,) = at.alone([0])
    at.hover(point)
    assert at.tip().locator("strong").inner_text() == HOSTILE
    assert "broken <i>.jpg" in at.page.locator("#rejects").inner_text()
    assert at.page.locator("img[src=x], #rejects i, #tip b").count() == 0
    assert (
        at.page.title()
        == f"{LABELS * EACH} photos, {at.page.locator('.chosen .figure').inner_text()} components – fruitscale"
    )
    assert at.problems == []


def test_131_labels_stay_usable(at: Opened) -> None:
    boxes, status = at.page.locator("#label-list input:visible"), at.page.get_by_role("status")
    assert boxes.count() == LABELS
    assert at.page.locator("#label-list").bounding_box()["height"] < 600
    looks = at.page.locator("#label-list svg").evaluate_all("all => all.map(svg => svg.outerHTML)")
    assert len(set(looks)) == LABELS
    at.page.get_by_role("button", name="None").click()
    assert status.inner_text() == f"0 of {LABELS} shown"
    at.page.get_by_role("searchbox", name="Search labels").fill("FRUIT 04")
    assert boxes.count() == 10
    at.page.get_by_role("button", name="All").click()
    assert status.inner_text() == f"10 of {LABELS} shown"
    hidden, shown = at.alone([60, 44])
    at.hover(shown)
    assert at.tip().locator("strong").inner_text() == label(44)
    assert at.page.get_by_role("checkbox", name=label(44)).is_checked()
    at.page.get_by_role("searchbox", name="Search labels").fill("")
    assert not at.page.get_by_role("checkbox", name=label(60)).is_checked()
    at.hover(hidden)
    assert not at.tip().is_visible() or at.tip().locator("strong").inner_text() != label(60)


def test_the_figure_moves_by_keyboard_and_to_other_components(at: Opened) -> None:
    before = at.place(3)
    at.page.locator("#scatter").focus()
    at.page.keyboard.press("ArrowRight")
    moved = at.place(3)
    assert moved[0] < before[0] - 20
    assert moved[1] == pytest.approx(before[1], abs=1)
    at.page.keyboard.press("0")
    assert at.place(3) == pytest.approx(before, abs=1)
    at.page.get_by_label("Up").select_option("Component 3")
    other = at.place(3)
    assert other[0] == pytest.approx(before[0], abs=1)
    assert other[1] != pytest.approx(before[1], abs=1)


def test_a_phone_scrolls_past_the_figure_until_it_is_asked_for(browser: Any, page: Path) -> None:
    with opened(browser, page, **PHONE) as at:
        active = (
            "[...Bokeh.index.roots][0].model.toolbar.tools.filter(t => /Pan|Wheel/.test(t.type)).map(t => t.active)"
        )
        assert at.page.evaluate(active) == [False, False]
        (point,) = at.alone([77])
        at.page.touchscreen.tap(*at.place(point))
        assert at.page.evaluate(active) == [True, True]
        assert at.tip().locator("strong").inner_text() == label(77)


def test_a_benchs_data_is_in_its_page(browser: Any, bench: Path) -> None:
    with opened(browser, bench, **DESKTOP) as at:
        assert at.page.locator("#pairs tbody tr").count() == 8
        assert "no cluster" in at.page.locator("#recovery").inner_text()
        with at.page.expect_download() as waiting:
            at.page.get_by_role("link", name="bench.json").click()
        saved = json.loads(Path(waiting.value.path()).read_text())
        assert saved == json.loads((bench.parent / "bench.json").read_text())
        assert unquote(waiting.value.suggested_filename) == "bench.json"
