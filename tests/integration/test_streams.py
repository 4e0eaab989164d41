"""Streams that can't be written, signals of a closing terminal and full disks: the run goes on, or ends with a clear error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import QUICK, SLOWER, Cli, processes_of
from tests.integration.test_interruptions import GONE_SECONDS, started, wait_for


def through(cli: Cli, redirection: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command through a shell that redirects its streams."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", *cli.command(*arguments)],
        capture_output=True, text=True, timeout=120, env=cli.environment | variables, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("redirection", ["2>/dev/full", "0<&- 2>&-"])
def test_a_stderr_that_cannot_be_written_does_not_end_a_run(
    cli: Cli, photos: Path, tmp_path: Path, redirection: str
) -> None:
    run = tmp_path / "run"
    ran = through(cli, redirection, "run", "-e", "local", *QUICK, "-i", photos, "-o", run, "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["images"]["featurized"] == 240
    assert json.loads((run / "_run" / "progress.json").read_text())["status"] == "complete"


def test_a_closed_stderr_pipe_does_not_end_a_run(cli: Cli, photos: Path, tmp_path: Path) -> None:
    arguments = ["run", "-e", "local", *SLOWER, "-i", photos, "-o", tmp_path / "run"]
    process = cli.start(*arguments)
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    assert process.stdout is not None
    with process.stdout:
        assert "run.json" in process.stdout.read()
    assert process.wait(timeout=120) == 0
    assert (tmp_path / "run" / "run.json").exists()


def test_an_error_with_a_full_stderr_keeps_its_exit_code(cli: Cli, tmp_path: Path) -> None:
    assert through(cli, "2>/dev/full", "show", tmp_path / "nowhere").returncode == 1
    assert through(cli, "2>/dev/full", "show").returncode == 2


def test_a_full_stdout_is_named(cli: Cli) -> None:
    for command in (["config", "show"], ["config", "schema"]):
        ran = through(cli, ">/dev/full", *command)
        assert ran.returncode == 1
        assert ran.stderr.startswith("Error: A disk is full: No space left on device.")
        assert "Exception ignored" not in ran.stderr


def test_a_reader_that_stops_is_no_error(cli: Cli) -> None:
    ran = through(cli, "| head -1", "config", "schema")
    assert ran.stdout == "{\n"
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("engine", "signals"),
    [
        ("local", [signal.SIGHUP]),
        pytest.param("spark", [signal.SIGHUP, signal.SIGHUP], marks=pytest.mark.slow),
        pytest.param("dask", [signal.SIGTERM, signal.SIGHUP], marks=pytest.mark.slow),
    ],
)
def test_a_hangup_ends_a_run_like_ctrl_c(
    cli: Cli, photos: Path, tmp_path: Path, engine: str, signals: list[signal.Signals]
) -> None:
    """A closing terminal signals the whole group, and more than once."""
    run = tmp_path / "run"
    process = cli.start("run", "-e", engine, *SLOWER, "-i", photos, "-o", run, TMPDIR=str(tmp_path))
    assert started(process, run)
    for each in signals:
        os.killpg(process.pid, each)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Run the same command again" in said
    assert json.loads((run / "_run" / "progress.json").read_text())["status"] == "interrupted"
    assert wait_for(lambda: not list(processes_of(process.pid)), GONE_SECONDS), list(processes_of(process.pid))
    assert not list(tmp_path.glob("fruitscale-*"))


@pytest.mark.slow
def test_nohup_is_respected(cli: Cli, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        ["nohup", *cli.command("run", "-e", "local", *SLOWER, "-i", photos, "-o", run)],
        env=cli.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert started(process, run)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=120) == 0


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of the size given."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", folder], check=False).returncode:
        pytest.skip("no right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize(("engine", "small_disk"), [("local", "64k"), ("dask", "8k")], indirect=["small_disk"])
def test_a_full_temporary_folder_is_named(
    cli: Cli, photos: Path, tmp_path: Path, small_disk: Path, engine: str
) -> None:
    run = tmp_path / "run"
    ran = cli("run", "-e", engine, *QUICK, "-i", photos, "-o", run, TMPDIR=str(small_disk))
    assert ran.code == 1, ran.err
    assert "No space left on device" in ran.err or "usable temporary directory" in ran.err
    assert "should not happen" not in ran.err
    assert "Traceback" not in ran.err
    progress = json.loads((run / "_run" / "progress.json").read_text())
    assert progress["status"] == "failed"
    assert not list(small_disk.glob("fruitscale-*"))


def test_a_failure_before_the_engine_is_in_the_progress_file(cli: Cli, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ran = cli("run", "-e", "local", *QUICK, "-i", photos, "-o", run, "--set", "pca.components=1000")
    assert ran.code == 1, ran.err
    assert cli("run", "-e", "local", *QUICK, "-i", photos, "-o", run, "--set", "model.weights=/no.h5").code == 1
    progress = json.loads((run / "_run" / "progress.json").read_text())
    assert progress["status"] == "failed"
    assert "/no.h5" in progress["error"]
