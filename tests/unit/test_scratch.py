"""Temporary folders: those of processes that died are removed, those of anybody who may live are not."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fruitscale.errors import StorageError
from fruitscale.storage import scratch
from fruitscale.storage.scratch import OWNER, ScratchFolder, sweep

HOLD = """
import sys
from pathlib import Path
from fruitscale.storage.scratch import ScratchFolder
folder = ScratchFolder("test", Path(sys.argv[1]))
(folder.path / "inner").mkdir()
(folder.path / "inner" / "file").write_text("x")
print(folder.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def owner(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run another process that owns a temporary folder, and kill it at the end."""
    command = [sys.executable, "-c", HOLD, str(parent)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_folder_goes_with_its_owner(tmp_path: Path) -> None:
    with ScratchFolder("x", tmp_path) as folder:
        (folder / "a").write_text("b")
        assert folder.name.startswith("fruitscale-x-")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert sweep(tmp_path) == 0  # its owner lives
    assert not list(tmp_path.iterdir())


def test_only_the_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    with owner(tmp_path) as (_, alive):
        with owner(tmp_path) as (process, dead):
            process.kill()
            process.wait()
        assert dead.exists()
        assert sweep(tmp_path) == 1
        assert not dead.exists()
        assert (alive / "inner" / "file").exists()


def test_what_may_be_somebody_elses_stays(tmp_path: Path) -> None:
    """Without an owner's file, of another machine, a link, a file, or kept."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / OWNER).write_text(json.dumps({"host": platform.node()}))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for name, content in (
        ("none", None),
        ("host", '{"host": "elsewhere"}'),
        ("torn", '{"ho'),
        ("list", "[]"),
        ("empty", ""),
    ):
        (temporary / f"fruitscale-{name}").mkdir()
        if content is not None:
            (temporary / f"fruitscale-{name}" / OWNER).write_text(content)
    (temporary / "fruitscale-link").symlink_to(outside)
    (temporary / "fruitscale-inner").mkdir()
    (temporary / "fruitscale-inner" / OWNER).symlink_to(outside / OWNER)
    (temporary / "fruitscale-file").touch()
    (temporary / "other-x").mkdir()
    (temporary / "other-x" / OWNER).write_text(json.dumps({"host": platform.node()}))
    ScratchFolder("kept", temporary).keep()
    before = sorted(temporary.rglob("*"))
    assert sweep(temporary) == 0
    assert sorted(temporary.rglob("*")) == before
    assert (outside / OWNER).exists()
    assert sweep(tmp_path / "nowhere") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "fruitscale-x"
    folder.mkdir()
    (folder / OWNER).write_text(json.dumps({"host": platform.node()}))
    os.chown(folder, 12345, 12345)
    assert sweep(tmp_path) == 0
    os.chown(folder, 0, 0)
    assert sweep(tmp_path) == 1


def test_without_locks_a_folder_is_never_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = ScratchFolder("x", tmp_path)
    assert not (folder.path / OWNER).exists()
    assert sweep(tmp_path) == 0
    folder.remove()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No temporary folder can be created: No such file") as caught:
        ScratchFolder("x", tmp_path / "nowhere")
    assert "TMPDIR" in str(caught.value.hint)


def test_the_next_start_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with owner(tmp_path) as (_, dead):
        pass
    assert dead.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch.sweep_once.cache_clear()
    with ScratchFolder() as folder:
        assert folder.parent == tmp_path
        assert not dead.exists()
