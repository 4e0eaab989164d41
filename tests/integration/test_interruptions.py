"""Kills, Ctrl-C and rivals: nothing is lost, nothing is mixed, no process is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SLOWER, Cli, part_bytes, processes_of

GONE_SECONDS = 10


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def started(process: subprocess.Popen[str], run: Path, parts: int = 2) -> bool:
    """Wait until the run has made a few parts."""
    return wait_for(lambda: process.poll() is not None or len(list((run / "features").glob("*.parquet"))) >= parts)


@pytest.fixture(scope="module")
def expected_parts(cli: Cli, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of a run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert cli("run", "-e", "local", *SLOWER, "-i", photos, "-o", run).code == 0
    return part_bytes(run)


@pytest.mark.parametrize(
    ("engine", "how"),
    [
        pytest.param("local", signal.SIGINT, id="local-ctrl-c"),
        pytest.param("spark", signal.SIGKILL, id="spark-kill", marks=pytest.mark.slow),
        pytest.param("dask", signal.SIGINT, id="dask-ctrl-c", marks=pytest.mark.slow),
        pytest.param("local", signal.SIGKILL, id="local-kill", marks=pytest.mark.slow),
        pytest.param("spark", signal.SIGINT, id="spark-ctrl-c", marks=pytest.mark.slow),
        pytest.param("dask", signal.SIGKILL, id="dask-kill", marks=pytest.mark.slow),
    ],
)
def test_it_resumes(
    cli: Cli, engine: str, photos: Path, tmp_path: Path, expected_parts: dict[str, bytes], how: signal.Signals
) -> None:
    run = tmp_path / "run"
    arguments = ["run", "-e", engine, *SLOWER, "-i", photos, "-o", run]
    process = cli.start(*arguments)
    assert started(process, run)
    os.kill(process.pid, how)
    _, said = process.communicate(timeout=60)
    kept = 1
    if how is signal.SIGINT:
        assert process.returncode == 130
        counted = re.search(r"Stopped\. (\d+) of 240 photos are done and kept", said)
        assert counted, said
        kept = int(counted[1])
        assert "Run the same command again" in said
        assert "Traceback" not in said
    assert wait_for(lambda: not list(processes_of(process.pid)), GONE_SECONDS), list(processes_of(process.pid))
    assert not (run / "run.json").exists()

    record = cli(*arguments, "--json").record
    assert 0 < kept <= record["images"]["resumed"] < record["images"]["featurized"] == 240
    assert part_bytes(run) == expected_parts
    assert not list(run.rglob("*.staging-*"))


def test_a_failure_leaves_no_process(cli: Cli, engine_name: str, photos: Path, tmp_path: Path) -> None:
    process = cli.start(
        "run", "-e", engine_name, *SLOWER, "-i", photos, "-o", tmp_path / "run", "--set", "model.weights=/nowhere.h5"
    )
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "/nowhere.h5" in said
    assert wait_for(lambda: not list(processes_of(process.pid)), GONE_SECONDS)


def test_a_second_run_on_the_same_output_is_refused(cli: Cli, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["run", "-e", "local", *SLOWER, "-i", photos, "-o", run]
    first = cli.start(*arguments)
    assert started(first, run, parts=1)
    os.kill(first.pid, signal.SIGSTOP)  # so that it can't end before the second one begins
    second = cli(*arguments)
    os.kill(first.pid, signal.SIGCONT)
    first.communicate(timeout=120)
    assert second.code == 1
    assert f"process {first.pid}" in second.err
    assert first.returncode == 0
