"""A folder as phones, Macs, Windows and browsers leave it: its photos are read, and the rest is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import QUICK, Cli
from tests.unit.test_listing import fill
from tests.unit.test_listing_rules import MOV, picture

PHOTOS = [
    "2023/trip/IMG_1.jpg",
    "2023/trip/IMG_2.JPG_large",
    "2024/trip/3f1c9d2e",
    "2024/trip/x.jfif",
    "2024/home/a.png",
]
COUNTS = {"hidden or system files": 5, "links to nothing": 2, ".mov": 1, ".txt": 1}
WORDS = "5 hidden or system files, 2 links to nothing, 1 .mov, 1 .txt"
FEW = ["-e", "local", "--set", "pca.components=2"]


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phone") / "in"
    for name, colour in zip(PHOTOS, ("red", "lime", "blue", "white", "black"), strict=True):
        fill(folder, name, content=picture("JPEG", colour))
    fill(folder, ".trashed-1700000000-IMG_9.jpg", "2023/.thumbnails/1.jpg", content=picture("JPEG"))
    fill(folder, "2023/._IMG_1.jpg", ".DS_Store", "2023/Thumbs.db", "notes.txt")
    fill(folder, "2023/IMG_3.MOV", content=MOV)
    for name in ("gone.jpg", "2024/gone"):
        (folder / name).symlink_to("nothing")
    return folder


@pytest.fixture(scope="module")
def run(cli: Cli, phone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phone") / "run"
    made = cli("run", *QUICK, *FEW, "-i", phone, "-o", folder)
    assert made.code == 0, made.err
    assert WORDS in " ".join(made.out.split())
    return folder


def test_the_record_counts_what_was_not_taken(run: Path) -> None:
    found = json.loads((run / "run.json").read_text())["input"]
    assert (found["images"], found["not_taken"], found["archived"], found["shared_labels"]) == (5, COUNTS, {}, 1)


def test_show_and_a_dry_run_say_the_same(cli: Cli, run: Path, phone: Path, tmp_path: Path) -> None:
    for shown in (cli("show", run), cli("run", *QUICK, *FEW, "-i", phone, "-o", tmp_path / "x", "--dry-run")):
        assert shown.code == 0
        text = " ".join(shown.out.split())
        assert WORDS in text
        assert "input.label: path keeps the folders apart" in text
    dry = json.loads(cli("run", *QUICK, *FEW, "-i", phone, "-o", tmp_path / "x", "--dry-run", "--json").out)
    assert (dry["not_taken"], dry["shared_labels"]) == (COUNTS, 1)


def test_the_page_says_it_too(cli: Cli, run: Path) -> None:
    made = cli("report", run)
    assert made.code == 0, made.err
    page = (run / "report.html").read_text()
    assert f"Files not taken as photos: {WORDS}." in page
    assert "1 label stands for several folders" in page


def test_a_folder_of_nothing_but_videos_says_so(cli: Cli, tmp_path: Path) -> None:
    fill(tmp_path / "in", "1.mov", "2.mov", content=MOV)
    ran = cli("run", *QUICK, *FEW, "-i", tmp_path / "in", "-o", tmp_path / "run")
    assert ran.code == 1
    assert "not taken: 2 .mov" in " ".join(ran.err.split())
