"""Labels and files with control sequences, Rich markup and formulas: shown as text by every command, harmless in CSV."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import QUICK, Cli

LABELS = [
    "\x1b]0;owned\x07\x1b[31mred",
    "[bold]bold[red]",
    ":apple:",
    "=1+2",
    "+cmd|'C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\tx",
]
SHOWN = r"\x1b]0;owned\x07\x1b[31mred"
RAW = "\x1b\x07\x9b\r"


@pytest.fixture(scope="module")
def hostile_run(cli: Cli, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of hostile labels and one hostile reject."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, label in enumerate(LABELS):
        (folder / "in" / label).mkdir(parents=True)
        for photo in sorted(photos.rglob("*.jpg"))[number * 4 : number * 4 + 4]:
            shutil.copyfile(photo, folder / "in" / label / photo.name)
    (folder / "in" / LABELS[0] / "\x1b[2J.jpg").write_bytes(b"no photo")
    ran = cli("run", "-e", "local", *QUICK, "-i", folder / "in", "-o", folder / "run", "--set", "pca.components=3")
    assert ran.code == 0, ran.err
    assert not set(RAW) & set(ran.out + ran.err)
    return folder / "run"


def test_every_command_shows_them_as_text(cli: Cli, hostile_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "\x1b[31m[red]run"
    shutil.copytree(hostile_run, copy)
    commands: list[list[object]] = [
        ["show", copy], ["drift", copy, hostile_run], ["evaluate", copy, hostile_run], ["report", copy],
        ["export", copy, "--to", "csv", "-o", tmp_path / "\x1b[31mx.csv"],
        ["export", copy, "--to", "tensorboard", "-o", tmp_path / "\x1b[31mx"],
        ["erase", copy, "--label", LABELS[0], "--dry-run"], ["erase", copy, "--label", "\x1b[31mnone"],
        ["show", tmp_path / "\x1b[31mnowhere"], ["show", copy, "\x1b[31mextra"], ["show", "--\x1b[31mflag"],
        ["run", "--config", tmp_path / "\x1b[31m.yaml"], ["run", "--set", "\x1b[31m=1"], ["\x1b[31mverb"],
    ]  # fmt: skip
    for arguments in commands:
        ran = cli(*arguments)
        assert not set(RAW) & set(ran.out + ran.err), arguments
        assert "Traceback" not in ran.err
        assert "should not happen" not in ran.err, ran.err
    drift = cli("drift", hostile_run, hostile_run).out
    assert all(label in drift for label in (SHOWN, "[bold]bold[red]", ":apple:"))


def test_json_holds_the_labels_as_they_are(cli: Cli, hostile_run: Path) -> None:
    found = json.loads(cli("drift", hostile_run, hostile_run, "--json").out)
    assert {each["label"] for each in found["labels"]} == set(LABELS)


def test_no_cell_of_a_csv_is_a_formula(cli: Cli, hostile_run: Path, tmp_path: Path) -> None:
    assert cli("export", hostile_run, "--to", "csv", "-o", tmp_path / "x.csv").code == 0
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {f"'{label}" if label[0] in "=+-@\t" else label for label in LABELS}
    assert not any(row[column][0] in "=+-@\t\r\n" for row in rows for column in ("path", "label"))
    assert any(row["components_0"].startswith("-") for row in rows)  # numbers stay numbers
    assert cli("export", hostile_run, "--to", "tensorboard", "-o", tmp_path / "x").code == 0
    lines = (tmp_path / "x" / "metadata.tsv").read_text("utf-8").splitlines()
    assert "'=1+2\t'=1+2/" in "\n".join(lines)
