"""Folders with a given number of linked photos."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from fruitscale.bench import photo_sets
from fruitscale.config.schema import Input
from fruitscale.errors import InputError, UsageError


@pytest.fixture
def source(tmp_path: Path) -> Input:
    for label in ("apple", "pear", "plum"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "in" / label / f"{number}.jpg").write_bytes(f"{label}{number}".encode())
    return Input(uri=str(tmp_path / "in"))


def contents(folder: Path) -> Counter[str]:
    return Counter(path.read_text() for path in folder.rglob("*.jpg"))


@pytest.mark.parametrize("count", [1, 3, 12, 13, 30])
def test_the_folder_has_that_many_photos(source: Input, tmp_path: Path, count: int) -> None:
    linked = photo_sets.link_photos(source.uri, photo_sets.list_paths(source), count, tmp_path / "out")
    found = contents(linked.folder)
    assert sum(found.values()) == count
    assert len(found) == min(count, 12) == linked.distinct
    assert max(found.values()) - min(found.values()) <= 1
    assert (linked.note is not None) == (count > 12)


def test_every_label_has_its_share(source: Input, tmp_path: Path) -> None:
    linked = photo_sets.link_photos(source.uri, photo_sets.list_paths(source), 6, tmp_path / "out")
    assert Counter(path.parent.name for path in linked.folder.rglob("*.jpg")) == {"apple": 2, "pear": 2, "plum": 2}


def test_repeats_are_noted(source: Input, tmp_path: Path) -> None:
    note = photo_sets.link_photos(source.uri, photo_sets.list_paths(source), 1000, tmp_path / "out").note
    assert note == "1,000 images: 12 photos, repeated under other names"


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_photos_that_cannot_be_linked_are_copied(
    source: Input, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not here")

    for name in ("link", "symlink")[:broken]:
        monkeypatch.setattr(os, name, refuse)
    linked = photo_sets.link_photos(source.uri, photo_sets.list_paths(source), 24, tmp_path / "out")
    assert sum(contents(linked.folder).values()) == 24


def test_the_inputs_own_limits_hold(source: Input) -> None:
    assert len(photo_sets.list_paths(source.model_copy(update={"limit": 5}))) == 5
    assert len(photo_sets.list_paths(source.model_copy(update={"include": ("apple/*",)}))) == 4


def test_unusable_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="on S3"):
        photo_sets.list_paths(Input(uri="s3://fruits/in"))
    with pytest.raises(UsageError, match="not set"):
        photo_sets.list_paths(Input())
    with pytest.raises(InputError, match="no photos"):
        photo_sets.list_paths(Input(uri=str(tmp_path)))
