"""Photos of a share that is away for a moment: they are looked at again, and a run ends as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fruitscale
from fruitscale.display.events import Event
from fruitscale.errors import InputError
from fruitscale.runs.record import RunRecord
from tests.conftest import part_bytes, take
from tests.integration.erased import check_counts
from tests.integration.test_apply import QUICK_MODEL, settings

PHOTOS = 48


class Share:
    """A folder of photos of which some can be away; a rename keeps their versions."""

    def __init__(self, folder: Path, photos: Path) -> None:
        self.root = take(photos, folder / "in", labels=2, each=PHOTOS // 2)
        self.photos = sorted(self.root.rglob("*.jpg"))
        self._elsewhere = folder / "elsewhere"
        self._elsewhere.mkdir()

    def hide(self, *rows: int) -> None:
        for row in rows:
            self.photos[row].rename(self._elsewhere / str(row))

    def show(self) -> None:
        for hidden in self._elsewhere.iterdir():
            hidden.rename(self.photos[int(hidden.name)])


@pytest.fixture
def share(photos: Path, tmp_path: Path) -> Share:
    return Share(tmp_path, photos)


def run(share: Share, target: Path, watch: Callable[[Event], None] = lambda event: None, **images: object) -> RunRecord:
    return fruitscale.run(settings(share.root, target, model=QUICK_MODEL, images=images) | {"report": False}, watch)


@pytest.fixture
def expected(share: Share, tmp_path: Path) -> dict[str, bytes]:
    run(share, tmp_path / "undisturbed")
    return part_bytes(tmp_path / "undisturbed")


def hiding(share: Share, *rows: int, back: bool) -> Callable[[Event], None]:
    """Hide photos once all are listed, and show them again once one of them was missed."""
    hidden = False

    def watch(event: Event) -> None:
        nonlocal hidden
        if event.stage == "export" and not hidden:
            share.hide(*rows)
            hidden = True
        elif back and event.rejected:
            share.show()

    return watch


@pytest.mark.parametrize("rows", [(3,), (3, 4, 40)], ids=str)
def test_they_are_looked_at_again_at_the_end_of_the_stage(
    share: Share, tmp_path: Path, expected: dict[str, bytes], rows: tuple[int, ...]
) -> None:
    record = run(share, tmp_path / "run", hiding(share, *rows, back=True))
    assert (record.images.featurized, record.images.rejected, record.images.resumed) == (PHOTOS, 0, 0)
    assert part_bytes(tmp_path / "run") == expected
    assert not list((tmp_path / "run" / "_run" / "rejects").glob("*"))
    check_counts(tmp_path / "run")


def test_a_run_that_failed_of_them_resumes_as_if_nothing_had_happened(
    share: Share, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    with pytest.raises(InputError, match="1 of 48 photos can't be used"):
        run(share, tmp_path / "run", hiding(share, 20, back=False), max_reject_fraction=0.0)
    share.show()
    record = run(share, tmp_path / "run", max_reject_fraction=0.0)
    assert (record.images.featurized, record.images.resumed) == (PHOTOS, PHOTOS - 16)
    assert part_bytes(tmp_path / "run") == expected


def test_a_complete_run_takes_them_in_when_they_are_back(
    share: Share, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    made = run(share, tmp_path / "run", hiding(share, 20, back=False))
    assert made.images.rejected == 1
    share.show()
    again = run(share, tmp_path / "run")
    assert (again.images.featurized, again.images.rejected, again.images.resumed) == (PHOTOS, 0, PHOTOS - 16)
    assert part_bytes(tmp_path / "run") == expected
    check_counts(tmp_path / "run")
    assert run(share, tmp_path / "run") == again  # and now nothing is left to do


def test_what_stays_away_stays_a_reject(share: Share, tmp_path: Path) -> None:
    seen: list[Event] = []
    hide = hiding(share, 20, back=False)

    def watch(event: Event) -> None:
        hide(event)
        seen.append(event)

    record = run(share, tmp_path / "run", watch)
    assert (record.images.featurized, record.images.rejected, record.images.resumed) == (PHOTOS - 1, 1, 0)
    assert seen[-1].resumed == 0
    check_counts(tmp_path / "run")


def test_an_input_that_is_gone_stops_the_run(share: Share, tmp_path: Path, expected: dict[str, bytes]) -> None:
    away = tmp_path / "unmounted"

    def unmount(event: Event) -> None:
        if event.stage == "export" and share.root.exists():
            share.root.rename(away)

    with pytest.raises(InputError, match="is gone") as stopped:
        run(share, tmp_path / "run", unmount)
    assert "resumes" in str(stopped.value)
    away.rename(share.root)
    assert run(share, tmp_path / "run").images.featurized == PHOTOS
    assert part_bytes(tmp_path / "run") == expected
