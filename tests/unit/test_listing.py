"""Which photos there are: real folders with every kind of name, links, and lists as CSV and Parquet."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fruitscale.config.schema import PHOTO_GLOB, Input, Storage
from fruitscale.errors import FruitscaleError, InputError, MissingObjectError, StorageError, UsageError
from fruitscale.storage.folder_listing import UNADDRESSABLE
from fruitscale.storage.listing import Photo, list_photos
from fruitscale.storage.name_rules import name_filter
from fruitscale.storage.store import LocalStore, file_version
from tests.unit.test_store import without_rights


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def fill(root: Path, *names: str, content: bytes = b"photo") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def listed(root: Path, **options: Any) -> list[Photo]:
    return sorted(list_photos(Input(uri=str(root), **options), Storage()), key=lambda photo: photo.path)


def paths(root: Path, **options: Any) -> list[str]:
    return [photo.path for photo in listed(root, **options)]


def labels(root: Path, **options: Any) -> dict[str, str | None]:
    return {photo.path: photo.label for photo in listed(root, **options)}


def test_a_photo_is_described(root: Path) -> None:
    fill(root, "apple/1.jpg", content=b"12345")
    assert listed(root) == [Photo("apple/1.jpg", "apple", 5, file_version((root / "apple/1.jpg").stat()))]


def test_a_label_is_the_photos_folder(root: Path) -> None:
    fill(root, "direct.jpg", "apple/1.jpg", "fruits/red/apple/2.jpg")
    assert labels(root) == {"direct.jpg": "photos", "apple/1.jpg": "apple", "fruits/red/apple/2.jpg": "apple"}
    assert set(labels(root, label="none").values()) == {None}


@pytest.mark.parametrize("uri", ["{}/", "{}/../photos", "file://{}"])
def test_the_label_of_a_photo_directly_under_the_input_is_the_inputs_name(root: Path, uri: str) -> None:
    fill(root, "1.jpg")
    assert [photo.label for photo in list_photos(Input(uri=uri.format(root)), Storage())] == ["photos"]


NAMES = ["a.jpg", "b/c.JPG", "b/c/d.png", "b/e.jpeg", "b/f.txt", ".hidden/g.gif", "É.webp", "b/h.jpg\n"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        pytest.param([PHOTO_GLOB], [], ["a.jpg", "b/c.JPG", "b/c/d.png", "b/e.jpeg", "É.webp"], id="default"),
        pytest.param(["*.jpg"], [], ["a.jpg"], id="only-directly-under"),
        pytest.param(["**/*.JPG"], [], ["a.jpg", "b/c.JPG"], id="any-case"),
        pytest.param(["**/*.{JPG,jpe}g", "**/*.{PNG,gif}"], [], ["b/c/d.png", "b/e.jpeg"], id="two"),
        pytest.param(["**/*.jp{e,}g"], [], ["a.jpg", "b/c.JPG", "b/e.jpeg"], id="an-empty-branch"),
        pytest.param(["b/**"], ["**/*.txt"], ["b/c.JPG", "b/c/d.png", "b/e.jpeg", "b/h.jpg\n"], id="a-folder"),
        pytest.param(["B/*.jpg"], [], ["b/c.JPG"], id="a-folder-in-any-case"),
        pytest.param(["é.*"], [], ["É.webp"], id="any-case-beyond-ascii"),
        pytest.param(["**"], ["b/**", ".*/**"], ["a.jpg", "É.webp"], id="exclude"),
        pytest.param(["**/*.jpg"], ["**/A.{JPG,png}"], ["b/c.JPG"], id="exclude-in-any-case"),
        pytest.param([], [], [], id="nothing"),
    ],
)
def test_include_and_exclude(root: Path, include: list[str], exclude: list[str], expected: list[str]) -> None:
    fill(root, *NAMES)
    assert paths(root, include=include, exclude=exclude) == expected


def test_too_many_braces_are_refused() -> None:
    with pytest.raises(UsageError, match=r"input.include or input.exclude: Pattern limit exceeded"):
        name_filter(("{1..100000}.jpg",), ())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("new\nline.jpg", id="newline"),
        pytest.param("🍎.jpg", id="emoji"),
        pytest.param("a%20b.jpg", id="percent"),
        pytest.param("a.jpg#1.jpg", id="hash"),
        pytest.param(f"{'n' * 246}.jpg", id="250-characters"),
        pytest.param(" a .jpg", id="spaces"),
        pytest.param("a\\b.jpg", id="backslash"),
        pytest.param("*[x]?.jpg", id="glob"),
        pytest.param("a..jpg", id="dots"),
        pytest.param("e\u0301.jpg", id="not-normalized"),
        pytest.param("\x01.jpg", id="control"),
    ],
)
def test_any_name_is_listed_and_can_be_read(root: Path, name: str) -> None:
    fill(root, f"in {name}/{name}")
    (photo,) = listed(root)
    assert (photo.path, photo.label) == (f"in {name}/{name}", f"in {name}")
    assert LocalStore(root).read(photo.path, photo.version) == b"photo"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param(b"apple/caf\xe9.jpg", "apple/caf\\xe9.jpg", id="file"),
        pytest.param(b"\xff/a.jpg", "\\xff/a.jpg", id="folder"),
    ],
)
def test_a_name_that_is_not_utf_8_is_listed_as_unaddressable(root: Path, name: bytes, path: str) -> None:
    fill(root, os.fsdecode(name))
    assert listed(root) == [Photo(path, path.split("/", maxsplit=1)[0], 5, UNADDRESSABLE)]


def test_a_linked_folder_and_a_linked_photo_are_followed(root: Path) -> None:
    fill(root.parent, "elsewhere/1.jpg")
    fill(root, "apple/1.jpg")
    (root / "pear").symlink_to(root.parent / "elsewhere")
    (root / "apple" / "2.jpg").symlink_to("1.jpg")
    assert labels(root) == {"apple/1.jpg": "apple", "apple/2.jpg": "apple", "pear/1.jpg": "pear"}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        pytest.param("a/b/up", "..", id="to-its-parent"),
        pytest.param("a/here", ".", id="to-its-folder"),
        pytest.param("a/top", "ROOT", id="to-the-input"),
        pytest.param("a/self.jpg", "self.jpg", id="to-itself"),
        pytest.param("a/gone.jpg", "nothing", id="to-nothing"),
    ],
)
def test_a_link_that_leads_nowhere_new_is_left_out(root: Path, link: str, target: str) -> None:
    fill(root, "a/1.jpg", "a/b/2.jpg")
    (root / link).symlink_to(target.replace("ROOT", str(root)))
    assert paths(root) == ["a/1.jpg", "a/b/2.jpg"]


def test_two_folders_that_link_to_each_other_end(root: Path) -> None:
    fill(root, "a/1.jpg", "b/2.jpg")
    (root / "a" / "b").symlink_to("../b")
    (root / "b" / "a").symlink_to("../a")
    assert paths(root) == ["a/1.jpg", "a/b/2.jpg", "b/2.jpg", "b/a/1.jpg"]


def test_what_is_no_file_is_left_out(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    (root / "folder.jpg").mkdir()
    assert listed(root) == []


@pytest.mark.parametrize("mode", [pytest.param(0, id="closed"), pytest.param(0o400, id="names-only")])
def test_a_folder_that_cannot_be_read_is_told(mode: int) -> None:
    with without_rights() as folder:
        fill(folder, "open/1.jpg", "shut/2.jpg")
        (folder / "shut").chmod(mode)
        try:
            with pytest.raises(StorageError, match=r"shut.* can't be listed: Permission denied\."):
                listed(folder)
        finally:
            (folder / "shut").chmod(0o700)


@pytest.mark.parametrize(("name", "problem"), [("missing", "does not exist"), ("1.jpg", "is not a folder")])
def test_an_input_that_is_no_folder(root: Path, name: str, problem: str) -> None:
    fill(root, "1.jpg")
    with pytest.raises(InputError) as caught:
        listed(root / name)
    assert caught.value.message == f"The input {root / name} {problem}."
    assert caught.value.hint == "Check the path (key: input.uri)."


def write_list(folder: Path, kind: str, columns: dict[str, list[Any]]) -> str:
    path = folder / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table(columns), path)
    else:
        rows = [",".join(f'"{value}"' for value in row) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join([",".join(columns), *rows]) + "\n", encoding="utf-8")
    return str(path)


both = pytest.mark.parametrize("kind", ["csv", "parquet"])


@both
def test_a_list_takes_what_it_names(root: Path, kind: str) -> None:
    fill(root, "b/2.jpg", "b/1.jpg", "a.jpg", "not-listed.jpg")
    uri = write_list(root.parent, kind, {"path": ["b/2.jpg", "a.jpg", "b/1.jpg"]})
    photos = list(list_photos(Input(uri=str(root), list=uri), Storage()))
    assert [(photo.path, photo.label) for photo in photos] == [("b/2.jpg", "b"), ("a.jpg", "photos"), ("b/1.jpg", "b")]
    assert photos[0] == Photo("b/2.jpg", "b", 5, file_version((root / "b/2.jpg").stat()))


@both
def test_a_list_brings_its_labels(root: Path, kind: str) -> None:
    fill(root, "a/1.jpg", "a/2.jpg", "a/3.jpg")
    columns = {"id": ["7", "8", "9"], "label": ["01", "é, f", "NA"], "path": ["a/1.jpg", "a/2.jpg", "a/3.jpg"]}
    uri = write_list(root.parent, kind, columns)
    expected = {"a/1.jpg": "01", "a/2.jpg": "é, f", "a/3.jpg": "NA"}
    assert labels(root, list=uri) == expected
    assert labels(root, list=uri, label="none") == expected


def test_a_csv_lists_labels_are_text_also_where_they_look_like_numbers(root: Path) -> None:
    fill(root, "1", "2")
    uri = root.parent / "list.csv"
    uri.write_text("path,label\n1,01\n2,2.50\n")
    assert labels(root, list=str(uri)) == {"1": "01", "2": "2.50"}


def test_a_parquet_lists_labels_may_be_null_or_numbers(root: Path) -> None:
    fill(root, "a/1.jpg", "a/2.jpg")
    uri = write_list(root.parent, "parquet", {"path": ["a/1.jpg", "a/2.jpg"], "label": [None, 4]})
    assert labels(root, list=uri) == {"a/1.jpg": None, "a/2.jpg": "4"}


@both
def test_a_list_without_labels_goes_by_input_label(root: Path, kind: str) -> None:
    fill(root, "a/1.jpg")
    uri = write_list(root.parent, kind, {"path": ["a/1.jpg"]})
    assert labels(root, list=uri) == {"a/1.jpg": "a"}
    assert labels(root, list=uri, label="none") == {"a/1.jpg": None}


@both
def test_a_list_may_name_what_the_globs_would_not(root: Path, kind: str) -> None:
    fill(root, "a.bin", "new\nline.jpg", "🍎.jpg")
    uri = write_list(root.parent, kind, {"path": ["a.bin", "new\nline.jpg", "🍎.jpg"]})
    assert paths(root, list=uri) == ["a.bin", "new\nline.jpg", "🍎.jpg"]


@both
@pytest.mark.parametrize(
    ("path", "told"),
    [
        pytest.param("../outside.jpg", "which is not below input.uri.", id="parent"),
        pytest.param("a/../../outside.jpg", "which is not below input.uri.", id="parent-in-the-middle"),
        pytest.param("/etc/passwd", "which is not below input.uri.", id="absolute"),
        pytest.param("gone.jpg", "No such file or directory.", id="missing"),
        pytest.param("a.jpg/b.jpg", "Not a directory.", id="below-a-file"),
        pytest.param("folder", "it is not a file.", id="folder"),
        pytest.param(".", "it is not a file.", id="dot"),
        pytest.param("n\0l.jpg", "embedded null byte.", id="nul"),
        pytest.param("n" * 300, "File name too long.", id="long"),
    ],
)
def test_a_path_that_is_refused(root: Path, kind: str, path: str, told: str) -> None:
    fill(root, "a.jpg", "folder/x.jpg")
    fill(root.parent, "outside.jpg")
    uri = write_list(root.parent, kind, {"path": ["a.jpg", path]})
    with pytest.raises(InputError) as caught:
        listed(root, list=uri)
    assert caught.value.message.startswith(f"{uri} names {path}")
    assert caught.value.message.endswith(told)


@both
def test_a_photo_may_be_listed_once(root: Path, kind: str) -> None:
    fill(root, "a.jpg", "b.jpg")
    uri = write_list(root.parent, kind, {"path": ["a.jpg", "b.jpg", "a.jpg"]})
    with pytest.raises(InputError) as caught:
        listed(root, list=uri)
    assert caught.value.message == f"{uri} names a.jpg twice."


@both
def test_a_list_needs_a_column_path(root: Path, kind: str) -> None:
    uri = write_list(root.parent, kind, {"file": ["a.jpg"], "label": ["x"]})
    with pytest.raises(InputError) as caught:
        listed(root, list=uri)
    assert caught.value.message == f"The list {uri} has no column `path`."
    assert caught.value.hint == "It has: file, label."


def test_a_list_with_no_row_has_no_photos(root: Path) -> None:
    uri = root.parent / "list.csv"
    uri.write_text("path,label\n")
    assert listed(root, list=str(uri)) == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("list.csv", b"", "Empty CSV file", id="empty"),
        pytest.param("list.csv", b"path,label\na.jpg\n", "Expected 2 columns, got 1", id="ragged"),
        pytest.param("list.csv", b"path\n\xff.jpg\n", "line 2 is not UTF-8 text", id="not-utf-8"),
        pytest.param("list.csv", b"\xff,path\nx,a.jpg\n", "line 1 is not UTF-8 text", id="a-column-not-utf-8"),
        pytest.param("list.csv", b"path,path\na.jpg,a.jpg\n", "it has two columns `path`", id="two-paths"),
        pytest.param("list.csv", b"path,label,label\na.jpg,1,2\n", "it has two columns `label`", id="two-labels"),
        pytest.param("list.parquet", b"path\na.jpg\n", "Parquet magic bytes not found", id="csv-as-parquet"),
        pytest.param("list.PARQUET", b"", "Parquet file size is 0 bytes", id="empty-parquet"),
    ],
)
def test_a_list_that_cannot_be_read(root: Path, name: str, content: bytes, told: str) -> None:
    fill(root, "a.jpg")
    uri = root.parent / name
    uri.write_bytes(content)
    with pytest.raises(InputError) as caught:
        listed(root, list=str(uri))
    assert caught.value.message.startswith(f"The list {uri} can't be read: ")
    assert told in caught.value.message


def test_a_damaged_parquet_list_is_never_another_error(root: Path) -> None:
    fill(root, "a.jpg")
    sink = io.BytesIO()
    pq.write_table(pa.table({"path": ["a.jpg"]}), sink)
    intact, uri = sink.getvalue(), root.parent / "list.parquet"
    refused = 0
    for i in range(0, len(intact), 5):
        uri.write_bytes(intact[:i] + bytes([intact[i] ^ 0xFF]) + intact[i + 1 :])
        try:
            assert paths(root, list=str(uri)) == ["a.jpg"]
        except FruitscaleError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(("name", "error"), [("gone.csv", MissingObjectError), (".", StorageError)])
def test_a_list_that_is_not_there(root: Path, name: str, error: type[FruitscaleError]) -> None:
    with pytest.raises(error):
        listed(root, list=str(root / name))


def test_a_list_is_found_against_the_working_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, "a.jpg")
    write_list(root.parent, "csv", {"path": ["a.jpg"]})
    monkeypatch.chdir(root.parent)
    assert paths(root, list="list.csv") == ["a.jpg"]


def test_folders_may_be_nested_deeper_than_python_recurses(tmp_path: Path) -> None:
    """1,500 folders; and a path that the system refuses is named."""
    root = tmp_path / "in"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    try:
        for depth in range(2500):
            if depth == 1500:
                os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
                [photo] = list_photos(Input(uri=str(root)), Storage())
                assert photo.path == "d/" * 1500 + "x.jpg"
                assert LocalStore(root).read(photo.path) == b""
                assert list(LocalStore(root).names("")) == [photo.path]
            os.mkdir("d", dir_fd=descriptor)
            inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        with pytest.raises(StorageError, match="can't be listed: File name too long") as caught:
            list(list_photos(Input(uri=str(root)), Storage()))
        assert caught.value.hint == "Move it to a folder with a shorter path."
    finally:
        os.close(descriptor)
        subprocess.run(["rm", "-rf", root], check=True)  # pytest's own removal recurses
