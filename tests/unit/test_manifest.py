"""The manifest: its order, its hashes, and the row ranges that tasks read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fruitscale.errors import InputError, MissingObjectError, OutputError
from fruitscale.runs import manifest
from fruitscale.runs.manifest import NAME, ROW_GROUP, Manifest
from fruitscale.storage.listing import Photo
from fruitscale.storage.store import LocalStore

A, B, C = Photo("a/1.jpg", "a", 10, "v1"), Photo("b/2.jpg", None, 20, "v2"), Photo("b/3.jpg", "b", 30, "v3")


def rows(built: Manifest) -> list[Photo]:
    return [Photo(**row) for row in built.table.to_pylist()]


def many(n: int) -> Iterator[Photo]:
    return (Photo(f"fruit-{i % 20:02d}/{i:07d}.jpg", f"fruit-{i % 20:02d}", i, f"{i}-{i}") for i in range(n))


def test_it_is_sorted_and_counted() -> None:
    built = manifest.build([C, A, B])
    assert rows(built) == [A, B, C]
    assert (built.images, built.bytes, built.labels) == (3, 60, 2)


def test_paths_are_sorted_as_utf_8_bytes() -> None:
    names = ["a/b", "a b", "a", "A", "é", "e\u0301", "\U0001f34e", "\uffee", "a\n", "a\x01", "Z", "~"]
    built = manifest.build(Photo(name, None, 0, "") for name in names)
    assert [photo.path for photo in rows(built)] == sorted(names, key=str.encode)


def test_an_empty_one() -> None:
    built = manifest.build([])
    assert (built.images, built.bytes, built.labels, rows(built)) == (0, 0, 0, [])
    assert built.table.schema == manifest.schema()


@pytest.mark.parametrize(
    ("photo", "content", "versions"),
    [
        pytest.param(B, False, False, id="nothing"),
        pytest.param(B._replace(path="b/2b.jpg"), True, False, id="path"),
        pytest.param(B._replace(label=""), True, False, id="label"),
        pytest.param(B._replace(label="-"), True, False, id="a-label-like-the-mark-of-none"),
        pytest.param(B._replace(size=21), True, False, id="size"),
        pytest.param(B._replace(version="v9"), False, True, id="version"),
    ],
)
def test_what_the_hashes_cover(photo: Photo, content: bool, versions: bool) -> None:
    before, after = manifest.build([A, B, C]), manifest.build([C, photo, A])
    assert (before.sha256 != after.sha256) is content
    assert (before.versions_sha256 != after.versions_sha256) is versions


def test_the_hash_is_pinned() -> None:
    assert manifest.build([A, B]).sha256 == "eae7a1d311601f504e1579ccb4c75855410d21efaf6ec7821753952839ec477f"


def test_one_photo_more_or_less_is_another_hash() -> None:
    assert len({manifest.build(photos).sha256 for photos in ([], [A], [A, B], [B], [A, B, C])}) == 5


@pytest.mark.parametrize(("limit", "expected"), [(None, [A, B, C]), (1, [A]), (3, [A, B, C]), (9, [A, B, C])])
def test_a_limit_takes_the_first_by_path(limit: int | None, expected: list[Photo]) -> None:
    built = manifest.build([C, B, A], limit)
    assert rows(built) == expected
    assert built.sha256 == manifest.build(expected).sha256
    assert built.bytes == sum(photo.size for photo in expected)


def test_a_limited_one_is_written_without_the_rest(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    manifest.write(manifest.build([C, B, A], 2), store)
    assert [Photo(**row) for row in manifest.read(store).to_pylist()] == [A, B]


def test_two_photos_of_one_path_are_refused() -> None:
    with pytest.raises(InputError, match=r"Two photos are named b/2.jpg\."):
        manifest.build([B, A, B._replace(size=5)])


def test_the_count_is_told_as_it_grows() -> None:
    counts: list[int] = []
    manifest.build(many(4 * ROW_GROUP + 5), on_count=counts.append)
    assert counts == [4 * ROW_GROUP, 4 * ROW_GROUP + 5]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, Manifest]:
    store = LocalStore(tmp_path_factory.mktemp("manifest"))
    built = manifest.build(reversed(list(many(2 * ROW_GROUP + 100))))
    manifest.write(built, store)
    return store, built


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param(0, 1, id="first"),
        pytest.param(0, ROW_GROUP, id="a-whole-group"),
        pytest.param(ROW_GROUP - 1, ROW_GROUP, id="the-last-of-a-group"),
        pytest.param(ROW_GROUP, ROW_GROUP + 1, id="the-first-of-a-group"),
        pytest.param(ROW_GROUP - 3, ROW_GROUP + 3, id="over-one-border"),
        pytest.param(ROW_GROUP - 1, 2 * ROW_GROUP + 1, id="over-two-borders"),
        pytest.param(2 * ROW_GROUP + 90, 2 * ROW_GROUP + 100, id="last"),
        pytest.param(0, 2 * ROW_GROUP + 100, id="all"),
        pytest.param(5, 5, id="none"),
        pytest.param(0, 0, id="none-of-the-first"),
    ],
)
def test_a_row_range_is_that_of_the_table(large: tuple[LocalStore, Manifest], start: int, stop: int) -> None:
    store, built = large
    expected = [Photo(**row) for row in built.table.slice(start, stop - start).to_pylist()]
    assert len(expected) == stop - start
    assert manifest.read_rows(store, manifest.NAME, start, stop, built.sha256) == expected


def test_another_manifest_in_the_same_place_is_read_anew(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for photos in ([A, B], [B, C]):
        built = manifest.build(photos)
        manifest.write(built, store)
        assert manifest.read_rows(store, manifest.NAME, 0, 2, built.sha256) == photos


class Counted(Photo):
    """A photo that counts how many of them there are."""

    live = peak = 0

    def __init__(self, *values: object) -> None:
        Counted.live += 1
        Counted.peak = max(Counted.peak, Counted.live)

    def __del__(self) -> None:
        Counted.live -= 1


def test_200_000_rows_are_never_all_in_memory_as_objects() -> None:
    built = manifest.build(Counted(*photo) for photo in many(200_000))
    assert built.images == 200_000
    assert built.table.nbytes < 16e6
    assert ROW_GROUP < Counted.peak <= 2 * 4 * ROW_GROUP + 1  # a batch, and the one before it
    assert Counted.live == 0


PHOTOS = st.lists(
    st.builds(
        Photo,
        st.text(min_size=1),
        st.none() | st.text(),
        st.integers(0, 2**63 - 1).map(lambda n: n // 1000),
        st.text(max_size=9),
        st.none(),
    ),
    unique_by=lambda photo: photo.path,
    max_size=20,
)


@settings(deadline=None)
@given(photos=PHOTOS)
def test_any_photos_come_back(tmp_path_factory: pytest.TempPathFactory, photos: list[Photo]) -> None:
    store = LocalStore(tmp_path_factory.getbasetemp() / "any-manifest")
    built = manifest.build(photos)
    manifest.write(built, store)
    expected = sorted(photos, key=lambda photo: photo.path.encode())
    assert [Photo(**row) for row in manifest.read(store).to_pylist()] == expected
    key = built.sha256 + built.versions_sha256
    assert manifest.read_rows(store, manifest.NAME, 0, len(photos), key) == expected
    assert manifest.describe(manifest.read(store)).sha256 == built.sha256


def test_a_missing_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingObjectError):
        manifest.read(LocalStore(tmp_path))


def test_a_damaged_one_is_told_or_still_one(tmp_path: Path) -> None:
    store, path = LocalStore(tmp_path), tmp_path / NAME
    manifest.write(manifest.build(many(50)), store)
    intact = path.read_bytes()
    refused = 0
    for i in range(0, len(intact), 23):
        path.write_bytes(intact[:i] + bytes([intact[i] ^ 0xFF]) + intact[i + 1 :])
        for read in (
            manifest.read,
            lambda store, key=f"flip {i}": manifest.read_rows(store, manifest.NAME, 0, 50, key),
        ):
            try:
                read(store)
            except OutputError as error:
                assert "manifest.parquet is damaged: " in error.message
                refused += 1
    assert refused > 50


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_truncated_one_is_told(tmp_path: Path, part: float) -> None:
    store, path = LocalStore(tmp_path), tmp_path / NAME
    manifest.write(manifest.build([A, B, C]), store)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(OutputError, match=r"manifest\.parquet is damaged"):
        manifest.read(store)
