"""Lists of photos as people write them: by hand, with Excel in several countries, and on Windows."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fruitscale.config.schema import Input, Storage
from fruitscale.errors import FruitscaleError, InputError
from fruitscale.storage.listing import list_photos
from fruitscale.storage.photo_list import normalized
from tests.unit.test_listing import fill


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "photos", "a/1.jpg", "a/2.jpg", "a/é 3.jpg")
    return tmp_path / "photos"


def labels(root: Path, content: bytes, name: str = "list.csv") -> dict[str, str | None]:
    uri = root.parent / name
    uri.write_bytes(content)
    return {photo.path: photo.label for photo in list_photos(Input(uri=str(root), list=str(uri)), Storage())}


TWO = {"a/1.jpg": "x", "a/2.jpg": "y"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("path,label\na/1.jpg,x\na/2.jpg,y\n", id="plain"),
        pytest.param("path, label\na/1.jpg, x\na/2.jpg, y\n", id="spaces-after-commas"),
        pytest.param(' path , "label" \na/1.jpg , "x"\na/2.jpg , y \n', id="spaces-and-quotes"),
        pytest.param("path;label\na/1.jpg;x\na/2.jpg;y\n", id="semicolons"),
        pytest.param("id;Path;LABEL\n1;a/1.jpg;x\n2;a/2.jpg;y\n", id="semicolons-and-capitals"),
        pytest.param("path\tlabel\na/1.jpg\tx\na/2.jpg\ty\n", id="tabs"),
        pytest.param("sep=;\npath;label\na/1.jpg;x\na/2.jpg;y\n", id="excels-sep"),
        pytest.param('"path";"label"\n"a/1.jpg";"x"\n"a/2.jpg";"y"\n', id="quotes"),
        pytest.param("path,label\r\na/1.jpg,x\r\na/2.jpg,y\r\n\r\n", id="windows-lines"),
        pytest.param("path,label\n./a/1.jpg,x\na//2.jpg,y", id="segments-that-say-nothing"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_however_a_list_is_written_its_labels_are_read(root: Path, text: str, encoding: str) -> None:
    assert labels(root, text.encode(encoding)) == TWO


def test_a_comma_within_a_label_and_a_space_around_a_label_are_kept_without_spaces_in_the_header(root: Path) -> None:
    assert labels(root, b'path,label\na/1.jpg," x, y "\na/2.jpg,"two\nlines"\n') == {
        "a/1.jpg": " x, y ",
        "a/2.jpg": "two\nlines",
    }


def test_accents_are_read_in_the_encodings_that_name_themselves(root: Path) -> None:
    text = "path;label\na/é 3.jpg;pêche\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert labels(root, text.encode(encoding)) == {"a/é 3.jpg": "pêche"}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        pytest.param("list.csv", "path,label\na/é 3.jpg,x\n".encode("cp1252"), "line 2 is not UTF-8 text", id="ansi"),
        pytest.param("list.csv", "path\na/1.jpg\n".encode("utf-16-le"), "is not UTF-8 text", id="utf-16-unnamed"),
        pytest.param("list.csv", b"\xff\xfe\x00", "it is not utf-16-le text", id="utf-16-cut"),
        pytest.param("list.csv", b"PK\x03\x04rest of a workbook", "is an Excel workbook, not CSV", id="xlsx"),
        pytest.param("list.xls", b"\xd0\xcf\x11\xe0rest", "is an Excel workbook, not CSV", id="xls"),
        pytest.param("list.csv", b"path,label\n,x\n", "has no path in row 1", id="no-path"),
        pytest.param("list.csv", b"path,Label,label\na/1.jpg,x,y\n", "it has two columns `label`", id="two-labels"),
        pytest.param("list.csv", b"path, label\na/1.jpg\n", "Expected 2 columns, got 1", id="ragged"),
        pytest.param("list.csv", b"path\na/1.jpg\n./a//1.jpg\n", "names a/1.jpg twice", id="twice"),
        pytest.param("list.csv", b"path\na\\1.jpg\n", "No such file or directory", id="backslashes"),
        pytest.param("list.csv", b"file;label\na;b\n", "has no column `path`", id="no-column"),
    ],
)
def test_what_a_list_may_not_be(root: Path, name: str, content: bytes, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        labels(root, content, name)
    assert problem in caught.value.message
    assert caught.value.hint
    if "Excel" in problem or "UTF-8" in problem:
        assert "CSV UTF-8" in caught.value.hint
    if b"\\" in content:
        assert "separated by /" in caught.value.hint


def test_a_parquet_list_with_a_null_path_is_refused(root: Path) -> None:
    uri = root.parent / "list.parquet"
    pq.write_table(pa.table({"Path": ["a/1.jpg", None]}), uri)
    with pytest.raises(InputError, match="has no path in row 2"):
        list(list_photos(Input(uri=str(root), list=str(uri)), Storage()))


def test_a_list_that_is_a_pipe_is_refused(root: Path) -> None:
    os.mkfifo(root.parent / "pipe.csv")
    with pytest.raises(FruitscaleError, match="It is not a regular file"):
        list(list_photos(Input(uri=str(root), list=str(root.parent / "pipe.csv")), Storage()))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", "a"), ("./a", "a"), ("a//b", "a/b"), ("a/./b", "a/b"), ("././a/.//b/.", "a/b"), ("a/", "a"),
        ("../a", "../a"), ("/a", "/a"), (".a/b.", ".a/b."), ("a./b", "a./b"), ("...", "..."),
    ],
)  # fmt: skip
def test_paths_are_normalized(path: str, expected: str) -> None:
    assert normalized(path) == expected
