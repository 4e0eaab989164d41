"""Only regular files are opened, and nothing waits: not for a pipe without a writer, not for a device."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fruitscale.config import regular_files
from fruitscale.config.loading import read_yaml
from fruitscale.config.regular_files import NotRegularError, open_regular, read_head, read_regular
from fruitscale.errors import ChangedObjectError, ModelError, StorageError, UsageError
from fruitscale.model import exported_model
from fruitscale.storage.store import LocalStore, file_version


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


KINDS = [
    pytest.param(os.mkfifo, id="pipe"),
    pytest.param(_socket, id="socket"),
    pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
    pytest.param(os.mkdir, id="folder"),
]


@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    make(tmp_path / "x")
    for opened in (open_regular, read_regular, lambda path: read_head(path, 8)):
        with pytest.raises(NotRegularError):
            opened(tmp_path / "x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(StorageError, match="x can't be read: "):
        LocalStore(tmp_path).read("x")
    with pytest.raises(ModelError, match="x can't be read: "):
        exported_model.read(tmp_path / "x")


@pytest.mark.parametrize("make", KINDS)
def test_a_photo_that_became_something_else_has_changed(tmp_path: Path, make: Callable[[Path], None]) -> None:
    photo = tmp_path / "x"
    photo.write_bytes(b"photo")
    version = file_version(photo.stat())
    assert LocalStore(tmp_path).read("x", version) == b"photo"
    photo.unlink()
    make(photo)
    with pytest.raises(ChangedObjectError):
        LocalStore(tmp_path).read("x", version)


def test_a_regular_file_is_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b") == b"0123456789"
    assert read_head(tmp_path / "b", 4) == b"0123"
    with pytest.raises(OSError, match="larger than"):
        read_regular(tmp_path / "b", 9)


@pytest.fixture
def pipe() -> Iterator[tuple[str, int]]:
    """The name of an open pipe, as a shell gives it for `<(…)`, and the descriptor to write to."""
    reading, writing = os.pipe()
    yield f"/dev/fd/{reading}", writing
    os.close(reading)
    with suppress(OSError):
        os.close(writing)


def test_a_config_may_come_from_the_shells_pipe(pipe: tuple[str, int]) -> None:
    name, writing = pipe
    text = "slots: 3\n" + "# a comment\n" * 20_000  # more than a pipe holds

    def write() -> None:
        with open(writing, "w", closefd=True) as file:  # noqa: PTH123  a descriptor
            file.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_yaml(name) == {"slots": 3}
    writer.join()


def test_a_pipe_that_is_not_closed_is_not_waited_for_long(
    pipe: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regular_files, "PIPE_SECONDS", 0.1)
    os.write(pipe[1], b"slots: 3\n")
    with pytest.raises(UsageError, match=r"was not closed within 0\.1 s"):
        read_yaml(pipe[0])


def test_a_pipe_without_end_is_refused(pipe: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular_files, "MOST_CONFIG_BYTES", 1_000)
    os.write(pipe[1], b"#" * 5_000)
    with pytest.raises(UsageError, match="larger than"):
        read_yaml(pipe[0])


def test_a_pipe_in_a_folder_is_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        read_yaml(tmp_path / "config.yaml")
