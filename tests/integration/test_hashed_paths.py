"""Hashed paths: the table with the real ones is gone however a run ends, at the latest when the next command starts."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import SLOW_ENGINES, SLOWER, Cli, part_bytes
from tests.integration.erased import RUN, files_of, naming

KEY = "the key that these tests hash paths with"
HASHED = ["--set", "output.paths=hashed"]
TABLE = "_run/photos.parquet"


def names_of(source: Path) -> list[str]:
    return [path.name for path in source.rglob("*.jpg")]


def begun(cli: Cli, named: Path, run: Path, engine: str) -> subprocess.Popen[str]:
    """Start a run, and return its process once the table of real paths is there."""
    process = cli.start("run", *SLOWER, "-e", engine, *HASHED, "-i", named, "-o", run, FRUITSCALE_PATH_KEY=KEY)
    deadline = time.monotonic() + 120
    while not (run / TABLE).exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def killed(cli: Cli, named: Path, run: Path) -> None:
    process = begun(cli, named, run, "local")
    process.kill()
    process.communicate()
    assert (run / TABLE).exists()


def test_no_real_path_is_left_by_a_failure_and_a_resumed_run(cli: Cli, named: Path, tmp_path: Path) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    arguments = ["run", *RUN, *HASHED, "-i", named]
    failed = cli(*arguments, "-o", run, "--set", "images.max_reject_fraction=0", FRUITSCALE_PATH_KEY=KEY)
    assert failed.code == 1
    assert "can't be used" in failed.err
    assert naming(files_of(run), names_of(named)) == set()
    assert not (run / TABLE).exists()
    assert cli(*arguments, "-o", run, "--json", FRUITSCALE_PATH_KEY=KEY).record["images"]["resumed"] == 240
    assert cli(*arguments, "-o", whole, FRUITSCALE_PATH_KEY=KEY).code == 0
    assert part_bytes(run) == part_bytes(whole)


@pytest.mark.parametrize("engine_name", SLOW_ENGINES)
def test_no_real_path_is_left_by_ctrl_c(cli: Cli, named: Path, tmp_path: Path, engine_name: str) -> None:
    run = tmp_path / "run"
    process = begun(cli, named, run, engine_name)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert naming(files_of(run), names_of(named)) == set()
    assert not (run / TABLE).exists()


def test_what_a_kill_leaves_is_removed_by_the_next_command(cli: Cli, named: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    killed(cli, named, run)
    table = (run / TABLE).read_bytes()
    refused = cli("erase", run, "--path", "x.jpg", FRUITSCALE_PATH_KEY=KEY)
    assert refused.code == 1
    assert "incomplete run" in refused.err
    assert naming(files_of(run), names_of(named)) == set()

    (run / f"{TABLE}.staging-0011aabb").write_bytes(table)  # killed while it was being written
    (run / TABLE).write_bytes(table)
    other = cli("run", *RUN, "-i", named, "-o", run)
    assert other.code == 1
    assert "holds another run" in other.err
    assert naming(files_of(run), names_of(named)) == set()


def test_a_page_removes_it_too(cli: Cli, named: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli("run", *RUN, *HASHED, "-i", named, "-o", run, FRUITSCALE_PATH_KEY=KEY).code == 0
    (run / TABLE).write_bytes(b"as an earlier version could leave it")
    assert cli("report", run).code == 0
    assert not (run / TABLE).exists()


@pytest.mark.parametrize("content", [b"", b"no table"])
def test_a_run_does_not_mind_what_the_leftover_is(cli: Cli, named: Path, tmp_path: Path, content: bytes) -> None:
    run = tmp_path / "run"
    (run / "_run").mkdir(parents=True)
    (run / TABLE).write_bytes(content)
    assert cli("run", *RUN, "-i", named, "-o", run).code == 0
    assert not (run / TABLE).exists()
