"""Interrupting a launch, with and without a terminal, and resuming it, through the command line."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cloud.agent import Agent
from tests.cloud.simulated_account import Account, write
from tests.conftest import Cli
from tests.s3.runs import wait_for

pytestmark = pytest.mark.slow
Left = Callable[[], list[str]]


def launched(account: Account) -> bool:
    """Return whether the machines have been launched and polled."""
    return len(account.proxy.of("RunInstances")) == 2 and len(account.proxy.of("DescribeInstances")) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_terminal_the_machines_are_ended(
    cloud_cli: Cli, account: Account, number: signal.Signals, tmp_path: Path, left: Left
) -> None:
    process = cloud_cli.start("run", "--config", write(account.config("ec2-dask", workers=2), tmp_path))
    assert wait_for(lambda: launched(account), 60)
    process.send_signal(number)
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the machines were ended" in shown
    assert left() == []


@pytest.mark.parametrize(("answer", "code", "running"), [("y", 0, 3), ("n", 130, 0)])
def test_at_a_terminal_it_asks(
    cloud_cli: Cli, account: Account, answer: str, code: int, running: int, tmp_path: Path, left: Left
) -> None:
    path = write(account.config("ec2-dask", workers=2), tmp_path)
    process, terminal = pty.fork()
    if process == 0:
        command = cloud_cli.command("run", "--config", path)
        os.execve(command[0], command, cloud_cli.environment)
    assert wait_for(lambda: launched(account), 60)
    time.sleep(1)
    os.write(terminal, b"\x03")
    shown = read_until(terminal, "end its machines")
    os.write(terminal, f"{answer}\n".encode())
    shown += read_until(terminal, None)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == code, shown
    assert len([each for each in left() if each.startswith("machine")]) == running
    if running:
        assert cloud_cli("cluster", "stop", "--config", path).code == 0
        assert left() == []


def read_until(terminal: int, text: str | None, seconds: float = 120) -> str:
    """Read a terminal's output until it contains `text`, or the process ends."""
    shown, deadline = "", time.monotonic() + seconds
    while time.monotonic() < deadline and (text is None or text not in shown):
        if select.select([terminal], [], [], 1)[0]:
            try:
                shown += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # the process ended
                return shown
    return shown


def test_a_stopped_launch_is_resumed(cloud_cli: Cli, account: Account, tmp_path: Path, left: Left) -> None:
    path = write(account.config("ec2-dask", workers=1), tmp_path)
    first = json.loads(cloud_cli("run", "--config", path, "--detach", "--json", "--quiet").out)["launch"]
    assert cloud_cli("cluster", "stop", "--config", path).code == 0
    account.proxy.asked.clear()
    with Agent(account, runs_it=True):
        resumed = cloud_cli("cluster", "resume", first, "--config", path, "--json")
    assert resumed.record["images"]["featurized"] == 24
    assert left() == []
