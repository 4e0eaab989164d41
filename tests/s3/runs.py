"""A run on S3 that is watched, killed and looked into."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import QUICK, Cli, processes_of
from tests.s3.bucket import Bucket

SHARD = ["--set", "shards.images=8"]
GONE_SECONDS = 15
RUN_SECONDS = 240


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> bool:
    """Look until it is so, or the time is over; tell which."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def arguments(engine: str, source: Bucket, target: Bucket, endpoint: str | None = None, **storage: object) -> list[str]:
    """Return the arguments of a run from a place to a place at SeaweedFS."""
    where = ["-i", source.uri, "-o", target.uri, *target.flags(endpoint, **storage)]
    return ["run", "-e", engine, *QUICK, *SHARD, *where]


def n_parts(place: Bucket, folder: str = "features") -> int:
    """Count the parts that are there."""
    return len([key for key in place.names() if key.startswith(f"{folder}/")])


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a run, and see that nothing of it is left."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert wait_for(lambda: not list(processes_of(process.pid)), GONE_SECONDS), commands_of(process.pid)


def commands_of(session: int) -> list[str]:
    """Return what the living processes of a session were called with."""
    found = []
    for process in processes_of(session):
        with suppress(OSError):  # it has just ended
            found.append(Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a run's end; one that has none is made to tell where it is, and killed."""
    try:
        out, err = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGABRT)
        out, err = process.communicate()
        raise AssertionError(f"the run did not end:\n{err}") from None
    return process.returncode, out, err


def check_clean(place: Bucket) -> None:
    """Check that a complete run left nothing behind in its folder and its bucket."""
    assert "_run/lock" not in place.names()
    assert not [key for key in place.names() if ".staging-" in key or key.rsplit("#", 1)[-1].isdigit()]
    assert place.uploads() == []


@dataclass(frozen=True)
class Watched:
    """A run that was looked at while it lasted: what it printed, its commands, and its files, temporary ones too."""

    place: Bucket
    record: dict[str, Any]
    commands: set[str]
    files: dict[str, bytes]


def watch(cli: Cli, engine: str, source: Bucket, target: Bucket, scratch: Path) -> Watched:
    """Run, with temporary files in a folder of the run's own, and look around until it ends."""
    process = cli.start(*arguments(engine, source, target), "--json", "--verbose", TMPDIR=str(scratch))
    files: dict[str, bytes] = {}
    commands: set[str] = set()
    while process.poll() is None:
        commands |= set(commands_of(process.pid))
        for path in [*scratch.rglob("*.log"), *scratch.rglob("*.json")]:
            with suppress(OSError):  # it has just been removed
                files[f"scratch/{path.relative_to(scratch)}.log"] = path.read_bytes()
        time.sleep(0.3)
    out, err = process.communicate()
    assert process.returncode == 0, err
    files |= {"out.json": out.encode(), "err.log": err.encode(), **target.files()}
    files |= {f"command-{i}.log": command.encode() for i, command in enumerate(sorted(commands))}
    return Watched(target, json.loads(out), commands, files)
