"""A folder on disk as a store: whole contents or none, versions, what a kill leaves, and every refusal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fruitscale.config.schema import Storage
from fruitscale.errors import ChangedObjectError, MissingObjectError, StorageError, UsageError
from fruitscale.storage.store import STAGING_MARK, LocalStore, file_version, open_store, sweep

NOBODY = 65534


@contextmanager
def without_rights() -> Iterator[Path]:
    """Give a folder in which permissions count, also where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        folder.chmod(0o777)
        os.seteuid(NOBODY)
        try:
            if not os.access(folder, os.W_OK, effective_ids=True):
                pytest.skip("the temporary folder is closed to every user but root")
            yield folder
        finally:
            os.seteuid(0)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def version(path: Path) -> str:
    return file_version(path.stat())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    store.write("a/b/c.bin", b"one")
    store.write("a/b/c.bin", b"two")
    assert store.read("a/b/c.bin") == b"two"
    assert files(tmp_path) == {"run/a/b/c.bin"}
    assert store.exists("a/b/c.bin")
    assert not store.exists("a/b/d.bin")
    assert not store.exists("a/b/c.bin/d")


def test_a_write_that_stops_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.write("name", b"before")

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:3])
        assert (tmp_path / "name").read_bytes() == b"before"
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        store.write("name", b"after")
    assert store.read("name") == b"before"
    assert files(tmp_path) == {"name"}


def test_a_reader_never_sees_half_of_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.write("name", b"before")
    seen: list[tuple[bytes, bytes]] = []
    replace = Path.replace

    def watch(self: Path, target: Path) -> Path:
        seen.append((self.read_bytes(), target.read_bytes()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    store.write("name", b"after")
    assert seen == [(b"after", b"before")]
    assert store.read("name") == b"after"


def test_a_version_is_of_the_content(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("name", b"one")
    first = version(tmp_path / "name")
    assert store.read("name", first) == b"one"
    status = (tmp_path / "name").stat()
    assert first == f"{status.st_mtime_ns}-3"


@pytest.mark.parametrize(
    ("content", "nanoseconds"), [pytest.param(b"two", 1, id="touched"), pytest.param(b"three", 0, id="another-size")]
)
def test_another_version_is_refused(tmp_path: Path, content: bytes, nanoseconds: int) -> None:
    store, path = LocalStore(tmp_path), tmp_path / "name"
    store.write("name", b"one")
    status = path.stat()
    listed = file_version(status)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + nanoseconds))
    with pytest.raises(ChangedObjectError, match=r"name changed since it was listed\.$"):
        store.read("name", listed)
    assert store.read("name") == content


@pytest.mark.parametrize("name", ["missing", "missing/too", "file/below"])
def test_what_is_missing_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MissingObjectError, match=f"{name} does not exist"):
        LocalStore(tmp_path).read(name)


@pytest.mark.parametrize("name", ["missing", "missing/too", "file/below"])
def test_deleting_what_is_missing_is_no_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    LocalStore(tmp_path).delete(name)
    LocalStore(tmp_path).delete("file")
    assert files(tmp_path) == set()


def test_names_are_those_below_a_prefix(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for name in ("a/1", "a/b/2", "ab/3", "4"):
        store.write(name, b"")
    assert sorted(store.names("a/")) == ["a/1", "a/b/2"]
    assert sorted(store.names("")) == ["4", "a/1", "a/b/2", "ab/3"]
    assert list(store.names("nothing/")) == []


def test_a_sweep_removes_unfinished_writes_and_nothing_else(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    kept = {"a/part", f"a{STAGING_MARK}x/part", "elsewhere/part.staging-00"}
    for name in (*kept, f"a/part{STAGING_MARK}00ff", f"a/b/c{STAGING_MARK}1"):
        store.write(name, b"")
    assert sweep(store, ["a/", f"a{STAGING_MARK}x/", "nothing/"]) == 2
    assert files(tmp_path) == kept


def test_what_a_kill_leaves_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.write("a/part", b"half")
    monkeypatch.undo()
    assert len(files(tmp_path)) == 1
    assert sweep(store, ["a/"]) == 1
    assert files(tmp_path) == set()


Action = Callable[[LocalStore], object]
ACTIONS: list[tuple[str, Action, str]] = [
    ("read", lambda store: store.read("closed"), "read"),
    ("read-below", lambda store: store.read("shut/file"), "read"),
    ("write", lambda store: store.write("shut/file", b""), "written"),
    ("write-new-folder", lambda store: store.write("shut/new/file", b""), "written"),
    ("exists", lambda store: store.exists("shut/file"), "read"),
    ("delete", lambda store: store.delete("shut/file"), "removed"),
    ("names", lambda store: list(store.names("shut/")), "listed"),
]


@pytest.mark.parametrize(("action", "done"), [case[1:] for case in ACTIONS], ids=[case[0] for case in ACTIONS])
def test_without_permission(action: Action, done: str) -> None:
    with without_rights() as folder:
        (folder / "shut").mkdir()
        for path in (folder / "closed", folder / "shut" / "file"):
            path.touch()
            path.chmod(0)
        (folder / "shut").chmod(0)
        try:
            with pytest.raises(StorageError, match=rf"can't be {done}: Permission denied\.") as caught:
                action(LocalStore(folder))
        finally:
            (folder / "shut").chmod(0o700)
    assert type(caught.value) is StorageError
    assert caught.value.hint == "Check the path, its permissions and the disk."


@pytest.mark.parametrize(
    ("action", "told"),
    [
        pytest.param(lambda store: store.read("folder"), "read: Is a directory", id="read-a-folder"),
        pytest.param(lambda store: store.write("folder", b""), "written: Is a directory", id="write-on-a-folder"),
        pytest.param(lambda store: store.write("file/x", b""), "written: File exists", id="write-below-a-file"),
        pytest.param(lambda store: store.delete("folder"), "removed: Is a directory", id="delete-a-folder"),
        pytest.param(lambda store: store.write("n" * 300, b""), "written: File name too long", id="long-name"),
    ],
)
def test_a_refusal_of_the_disk_is_told(tmp_path: Path, action: Action, told: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"can't be {told}"):
        action(LocalStore(tmp_path))
    assert files(tmp_path) == {"file"}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        pytest.param("/a/b/", "/a/b", id="absolute"),
        pytest.param("/a/./b/../c", "/a/c", id="dots"),
        pytest.param("a b", "CWD/a b", id="relative"),
        pytest.param("", "CWD", id="empty"),
        pytest.param("~/x", "HOME/x", id="home"),
        pytest.param("~nobody-has-this-name/x", "CWD/~nobody-has-this-name/x", id="no-such-home"),
        pytest.param("file:///a/b", "/a/b", id="file"),
        pytest.param("file:///a%20b/%C3%A9", "/a b/é", id="file-quoted"),
        pytest.param("/a%20b", "/a%20b", id="a-path-is-not-quoted"),
        pytest.param("a:b", "CWD/a:b", id="colon"),
    ],
)
def test_a_uri_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    store = open_store(uri, Storage())
    assert isinstance(store, LocalStore)
    assert store.uri == path.replace("CWD", str(tmp_path)).replace("HOME", "/home/me")


@pytest.mark.parametrize("uri", ["ftp://host/x", "https://host/x", "file://host/x"])
def test_other_schemes_are_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=f"{uri}: {uri.partition(':')[0]}:// is not supported"):
        open_store(uri, Storage())
