"""The drawn data set: reproducible, with the names and sizes of Fruits-360, and rotating fruit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fruitscale.errors import OutputError, UsageError
from fruitscale.kernels.images import Rejection, decode
from fruitscale.sample import SampleSet, draw
from fruitscale.sample.kinds import KINDS, MAX_CLASSES, first_kinds
from fruitscale.sample.painter import grow, photograph


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of each file, by its path in the folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def photo(file: Path) -> NDArray[np.int16]:
    return np.asarray(Image.open(file)).astype(np.int16)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return draw(tmp_path_factory.mktemp("sample") / "fruits", classes=12, per_class=12, corrupt=13)


def test_the_report_matches_the_files(drawn: SampleSet) -> None:
    files = [file for file in drawn.path.rglob("*") if file.is_file()]

    assert (drawn.classes, drawn.images, drawn.corrupt) == (12, 144, 13)
    assert len(files) == 144 + 13
    assert drawn.bytes == sum(file.stat().st_size for file in files)
    assert len([folder for folder in drawn.path.iterdir() if folder.is_dir()]) == 12


def test_names_are_those_of_fruits_360(drawn: SampleSet) -> None:
    good = {file.name for file in (drawn.path / "Pear").iterdir()}

    assert {f"{n}_100.jpg" for n in range(8)} | {f"r_{n}_100.jpg" for n in range(4)} <= good
    assert {"Apple Red", "Banana", "Strawberry"} <= {folder.name for folder in drawn.path.iterdir()}


def test_photos_are_square_jpegs_of_a_fruit_on_white(drawn: SampleSet) -> None:
    for kind in first_kinds(12):
        for name in ("0_100.jpg", "r_0_100.jpg"):
            file = drawn.path / kind.name / name
            with Image.open(file) as image:
                assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (100, 100))
            white = photo(file).min(axis=2) > 245
            assert white[[0, 0, -1, -1], [0, -1, 0, -1]].all()
            assert 0.1 < 1 - white.mean() < 0.95
            assert 1000 < file.stat().st_size < 12_000


def test_every_good_photo_can_be_decoded_and_every_bad_one_is_rejected(drawn: SampleSet) -> None:
    results = {file: decode(file.read_bytes(), 100) for file in sorted(drawn.path.rglob("*.jpg"))}
    reasons = [result.reason for result in results.values() if isinstance(result, Rejection)]

    assert len(reasons) == 13
    assert set(reasons) == {"truncated", "not an image", "empty", "too many pixels"}


@pytest.mark.parametrize("upright", [True, False])
def test_the_fruit_turns_a_little_from_frame_to_frame(upright: bool) -> None:
    for index, kind in enumerate(first_kinds(12)):
        fruit = grow(kind, np.random.default_rng(index))
        first, next_one, later = (
            photograph(fruit, turned, upright, np.random.default_rng(0)).astype(np.int16)
            for turned in (0.1, 0.104, 0.3)
        )
        step = np.abs(first - next_one).mean()

        assert 0 < step < 12
        assert step < 0.7 * np.abs(first - later).mean()


def test_classes_differ_more_than_neighbouring_frames(drawn: SampleSet) -> None:
    means = [photo(drawn.path / kind.name / "0_100.jpg") for kind in first_kinds(12)]
    for i, first in enumerate(means):
        assert all(np.abs(first - other).mean() > 8 for other in means[i + 1 :])


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    draw(tmp_path / "a", classes=13, per_class=4, seed=5, corrupt=6)
    draw(tmp_path / "b", classes=13, per_class=4, seed=5, corrupt=6)

    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_gives_other_photos(tmp_path: Path) -> None:
    draw(tmp_path / "a", classes=12, per_class=2, seed=1)
    draw(tmp_path / "b", classes=12, per_class=2, seed=2)
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")

    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_more_classes_leave_the_first_ones_as_they_are(tmp_path: Path) -> None:
    draw(tmp_path / "a", classes=2, per_class=3)
    draw(tmp_path / "b", classes=5, per_class=3)

    assert contents(tmp_path / "a").items() <= contents(tmp_path / "b").items()


def test_all_photos_of_a_sample_are_different(drawn: SampleSet) -> None:
    hashes = [digest for name, digest in contents(drawn.path).items() if not name.startswith("Apple Red/")]
    good = [h for h in hashes if hashes.count(h) == 1]

    assert len(good) >= 11 * 12


def test_as_many_classes_as_fruits_360_has(tmp_path: Path) -> None:
    sample = draw(tmp_path / "s", classes=MAX_CLASSES, per_class=1)
    names = {folder.name for folder in sample.path.iterdir()}

    assert sample.images == len(names) == MAX_CLASSES == 131
    assert {kind.name for kind in KINDS} < names
    assert "Apple Red 2" in names
    assert len(set(contents(sample.path).values())) == MAX_CLASSES


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"classes": 132}, {"per_class": 0}, {"corrupt": -1}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=str(*wrong.values())):
        draw(tmp_path / "s", **wrong)
    assert not (tmp_path / "s").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(OutputError, match="not empty") as caught:
        draw(tmp_path, classes=1, per_class=1)
    assert "another folder" in str(caught.value.hint)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_and_a_missing_parent_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert draw(tmp_path / "empty", classes=1, per_class=1).images == 1
    assert draw(tmp_path / "a" / "b" / "c", classes=1, per_class=1).images == 1


def test_an_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    for place in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(OutputError, match="can't be written"):
            draw(place, classes=1, per_class=1)
