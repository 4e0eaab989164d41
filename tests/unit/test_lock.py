"""The lock of a run folder, with real processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fruitscale.errors import OutputError, StorageError
from fruitscale.storage.lock import NAME, locked
from fruitscale.storage.store import LocalStore
from tests.unit.test_store import without_rights

HOLD = """
import sys
from pathlib import Path
from fruitscale.storage.lock import locked
from fruitscale.storage.store import LocalStore
with locked(LocalStore(Path(sys.argv[1])), "theirs"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another process that holds the lock until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def refusal(folder: Path) -> str:
    with pytest.raises(OutputError) as caught, locked(LocalStore(folder), "ours"):
        pass
    assert caught.value.hint == "Wait for it to end, or choose another --output."
    return caught.value.message


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        who = f"process {process.pid} on {platform.node()}"
        assert refusal(tmp_path) == f"Another run is writing {tmp_path}: {who}."
        assert json.loads((tmp_path / NAME).read_text())["run"] == "theirs"  # a refusal changes nothing
        assert refusal(tmp_path) == f"Another run is writing {tmp_path}: {who}."


def test_it_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()  # SIGKILL: no handler runs
        assert process.wait() == -9
        with locked(LocalStore(tmp_path), "ours"):
            told = json.loads((tmp_path / NAME).read_text())
    assert told == {"run": "ours", "host": platform.node(), "pid": os.getpid()}


def test_it_is_free_after_its_holder_ended(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.communicate()
        assert process.returncode == 0
        with locked(LocalStore(tmp_path), "ours"):
            pass


def test_it_is_free_after_an_error_inside(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(KeyError), locked(store, "first"):
        raise KeyError
    with locked(store, "second"):
        assert "another process" not in refusal(tmp_path)
        assert f"process {os.getpid()} on" in refusal(tmp_path)


def test_folders_are_locked_apart(tmp_path: Path) -> None:
    with holder(tmp_path / "a"), locked(LocalStore(tmp_path / "b"), "ours"):
        assert (tmp_path / "a" / NAME).exists()
        assert (tmp_path / "b" / NAME).exists()


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "7", "null"])
def test_a_holder_that_said_nothing_yet(tmp_path: Path, content: str) -> None:
    with locked(LocalStore(tmp_path), "first"):
        (tmp_path / NAME).write_text(content)
        assert refusal(tmp_path) == f"Another run is writing {tmp_path}: another process."


def test_where_nothing_can_be_written() -> None:
    with without_rights() as folder:
        (folder / "shut").mkdir(mode=0o500)
        store = LocalStore(folder / "shut" / "run")
        with pytest.raises(StorageError, match=r"run can't be written: Permission denied\.") as caught:
            with locked(store, "ours"):
                pass
        assert caught.value.hint == "Choose another --output."


def test_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(StorageError, match=r"run can't be written: Not a directory\."):
        with locked(LocalStore(tmp_path / "run"), "ours"):
            pass


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.ENOLCK, "can't lock files"), (errno.EOPNOTSUPP, "can't lock files"), (errno.EIO, "can't be written")],
)
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    """A network share may refuse; none can be mounted here."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=word), locked(LocalStore(tmp_path), "ours"):
        pass
