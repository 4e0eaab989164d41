"""Limits on rejects: a few are always allowed, and the limits hold for new, resumed and complete runs alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli, take
from tests.integration.erased import RUN, content_of

PCA = ["--set", "pca.components=3"]


@pytest.fixture(scope="module")
def twelve(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven photos and one file that is none."""
    folder = take(photos, tmp_path_factory.mktemp("twelve") / "in", labels=2, each=6)
    sorted(folder.rglob("*.jpg"))[4].write_bytes(b"no photo")
    return folder


def arguments(source: Path, run: Path, *settings: str) -> list[object]:
    return ["run", *RUN, *PCA, *(arg for setting in settings for arg in ("--set", setting)), "-i", source, "-o", run]


def test_a_few_rejects_are_allowed_and_the_record_says_so(cli: Cli, twelve: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    record = cli(*arguments(twelve, run), "--json").record
    assert (record["images"]["featurized"], record["images"]["rejected"]) == (11, 1)
    assert record["reject_limit"] == {"fraction": 0.05, "allowed": 5, "above_fraction": True}
    assert "within images.allowed_rejects" in cli("show", run).out


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("images.allowed_rejects=0", "1 of 12 photos can't be used"),
        ("images.max_reject_fraction=0", "1 of 12 photos can't be used"),
        ("images.on_error=fail", "can't be used: not an image"),
    ],
)
def test_limits_hold_for_a_complete_run_and_for_a_resumed_one(
    cli: Cli, twelve: Path, tmp_path: Path, setting: str, said: str
) -> None:
    run = tmp_path / "run"
    assert cli(*arguments(twelve, run)).code == 0
    before = content_of(run)
    complete = cli(*arguments(twelve, run, setting))
    assert complete.code == 1
    assert said in complete.err
    assert content_of(run) == before  # it is still complete
    (run / "run.json").unlink()
    resumed = cli(*arguments(twelve, run, setting))
    assert resumed.code == 1
    assert said in resumed.err
    assert not (run / "run.json").exists()
    record = cli(*arguments(twelve, run), "--json").record
    assert record["images"] == {"featurized": 11, "rejected": 1, "resumed": 11}


def test_a_run_without_one_good_photo_fails(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "in" / "Apple"
    source.mkdir(parents=True)
    for number in range(4):
        (source / f"{number}.jpg").write_bytes(b"no photo")
    ran = cli(*arguments(tmp_path / "in", tmp_path / "run", "images.max_reject_fraction=0.9"))
    assert ran.code == 1
    assert "4 of 4 photos can't be used" in ran.err
