"""What `inspect` measures and decides, on pictures and vectors made here."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fruitscale.errors import UsageError
from fruitscale.inspection import action_lines, neighbourhoods
from fruitscale.inspection.copy_groups import CopyPair, copies_between, copies_within, grouped
from fruitscale.inspection.limits import InspectionLimits
from fruitscale.inspection.photo_readings import PhotoReading, Readings
from fruitscale.inspection.quality_rules import faults
from fruitscale.inspection.run_inspection import KINDS, Finding
from fruitscale.kernels.images import decode, resize
from fruitscale.kernels.photo_measures import measure, stored_size
from tests.unit.pictures import encode, picture

Pixels = NDArray[np.uint8]
LIMITS = InspectionLimits()


def textured(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12)).astype(np.uint8)
    tinted = np.stack([noise, noise // 4 * 3, noise // 2], axis=2)
    return Image.fromarray(tinted).resize((100, 100), Image.Resampling.BICUBIC)


def readings(*contents: bytes | None) -> Readings:
    photos: list[PhotoReading | None] = []
    squares = np.full((len(contents), 32, 32, 3), 255, np.uint8)
    for row, content in enumerate(contents):
        if content is None:
            photos.append(None)
            continue
        pixels = decode(content, 96)
        assert isinstance(pixels, np.ndarray)
        photos.append(PhotoReading(content, stored_size(content), measure(pixels)))
        squares[row] = resize(pixels, 32)
    return Readings(photos, squares)


def kinds(*images: Image.Image | Pixels) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    photos = readings(*(encode(image, "PNG") for image in images)).photos
    for fault in faults(photos, ["one"] * len(photos), LIMITS):
        assert fault.words
        found.setdefault(fault.row, set()).add(fault.kind)
    return found


def test_faults_of_quality_are_found_and_good_photos_have_none() -> None:
    good = [textured(seed) for seed in range(12)]
    dark = good[0].point(lambda value: value // 5)
    light = good[0].point(lambda value: 246 + value // 30)
    blurred = good[1].filter(ImageFilter.GaussianBlur(8))
    flat = np.full((100, 100, 3), 120, np.uint8)
    wide = good[2].resize((900, 100))
    huge = good[3].resize((800, 800))
    found = kinds(*good, dark, light, blurred, flat, wide, huge)
    assert not set(found) & set(range(12))
    assert "dark" in found[12]
    assert {"light", "low_contrast"} <= found[13]
    assert found[14] == {"blurred"}
    assert found[15] == {"low_contrast", "nearly_empty"}
    assert "odd_aspect" in found[16]
    assert "odd_size" in found[17]


def test_the_measures_are_those_of_their_definitions() -> None:
    pixels = np.asarray(textured(5).resize((96, 96)))
    grey = (pixels.astype(int) @ np.array([38, 75, 15])) >> 7
    light = np.sqrt((pixels.astype(float) ** 2) @ (0.241, 0.691, 0.068)) / 255
    found = measure(pixels)
    assert found.bright == pytest.approx(np.percentile(light, 99), abs=0.01)
    assert found.dim == pytest.approx(np.percentile(light, 5), abs=0.01)
    assert found.contrast == pytest.approx((np.percentile(grey, 99) - np.percentile(grey, 1)) / 255, abs=0.01)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    assert found.sharpness == pytest.approx(laplacian.var())
    assert found.entropy == pytest.approx(Image.fromarray(grey.astype(np.uint8)).entropy())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_the_stored_size_is_read_from_the_header(kind: str) -> None:
    content = encode(picture(120, 90), kind)
    assert stored_size(content) == (120, 90)
    assert all(stored_size(content[:length]) in (None, (120, 90)) for length in range(40))


def test_copies_are_found_and_other_photos_are_not() -> None:
    image = textured(1)
    moved = Image.fromarray(np.roll(np.asarray(image), 2, axis=1))
    contents = [encode(image, "JPEG", quality=95), encode(moved, "JPEG"), encode(textured(2), "JPEG"), None]
    again = [encode(image, "JPEG", quality=60), encode(image.resize((140, 140)), "JPEG", quality=80), contents[2]]
    pairs = list(copies_within(readings(*contents, *again), LIMITS.copy_difference))
    assert {frozenset((pair.row, pair.other)) for pair in pairs} == {
        frozenset(pair) for pair in [(0, 4), (0, 5), (4, 5), (2, 6)]
    }
    assert [pair.equal for pair in pairs if pair.row == 6] == [True]
    between = copies_between(readings(*again), readings(*contents), LIMITS.copy_difference)
    assert {(pair.row, pair.other) for pair in between} == {(0, 0), (1, 0), (2, 2)}


def test_photos_without_details_are_copies_only_if_they_are_alike() -> None:
    flat = [io.BytesIO() for _ in range(3)]
    for file, shade in zip(flat, (100, 100, 103), strict=True):
        Image.new("RGB", (60, 60), (shade,) * 3).save(file, "PNG", comment=str(shade))
    pairs = copies_within(readings(*(file.getvalue() for file in flat)), LIMITS.copy_difference)
    assert [(pair.row, pair.other) for pair in pairs] == [(1, 0)]


def test_the_largest_file_of_a_group_is_kept() -> None:
    pairs = [CopyPair(row, other, 0.1, False) for row, other in [(3, 1), (5, 3), (4, 2)]]
    assert grouped(pairs, [0, 10, 7, 30, 7, 20]) == [[3, 5, 1], [2, 4]]


def test_neighbours_are_those_of_brute_force() -> None:
    values = np.random.default_rng(0).normal(size=(600, 7)).astype(np.float32)
    found = neighbourhoods.nearest(values, 4)
    apart = np.linalg.norm(values[:, np.newaxis] - values, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (found.rows == np.argsort(apart, axis=1)[:, :4]).all()
    assert np.allclose(found.distances, np.sort(apart, axis=1)[:, :4], atol=1e-5)
    assert neighbourhoods.nearest(values[:1], 4).rows.shape == (1, 0)


def test_neighbours_vote_and_small_labels_are_compared_with_all() -> None:
    neighbours = neighbourhoods.NearbyRows(np.array([[1, 2, 3], [0, 2, 3], [3, 3, 3], [0, 1, 2]]), np.ones((4, 3)))
    votes = neighbourhoods.votes(neighbours, ["a", "b", "b", None])
    assert [vote and (vote.label, round(vote.share, 2)) for vote in votes] == [
        ("b", 0.67),
        ("a", 0.33),
        None,
        ("b", 0.67),
    ]
    values = np.concatenate([np.linspace(1, 1.2, 20), [9.0]])
    scores = neighbourhoods.robust_scores(values, ["a"] * 20 + ["alone"])
    assert (np.abs(scores[:20]) < 3).all()
    assert scores[20] > 10


def test_limits_are_changed_by_name() -> None:
    assert LIMITS.changed(["dark=0.2", "neighbours=5"]) == InspectionLimits(dark=0.2, neighbours=5)
    for wrong in ("darkness=1", "dark", "dark=x", "dark=-1", "dark=nan", "neighbours=2.5"):
        with pytest.raises(UsageError):
            LIMITS.changed([wrong])
    assert all(words.format(**vars(LIMITS)) for words in KINDS.values())


def test_lines_can_be_copied_into_a_shell() -> None:
    findings = [Finding("dark", path, "a", 0.1, "") for path in ("a/it's.jpg", "a/b c.jpg")]
    line = action_lines.erase_line("results/run", findings)
    assert line == """fruitscale erase results/run --path 'a/it'"'"'s.jpg' --path 'a/b c.jpg'"""
    assert action_lines.exclude_setting(findings) is None
    assert action_lines.exclude_setting(findings[1:]) == """--set 'input.exclude=["a/b c.jpg"]'"""
