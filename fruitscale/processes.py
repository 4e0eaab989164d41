"""Starts Python child processes that end with their parent, even when it is killed.

A child is `python -m fruitscale.processes MODULE ARGS…`. It runs MODULE as a script, while a thread reads its standard
input, a pipe that only the parent holds open. When the parent ends, even by SIGKILL, the kernel closes the pipe and the
child kills its own process group. As each child has a group of its own, Ctrl-C in the terminal reaches the parent only.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
REMOVE = "FRUITSCALE_CHILD_REMOVES"


def start(
    module: str,
    arguments: Sequence[str] = (),
    *,
    output: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    removes: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a module as a child of this process; its stdout and stderr go to `output`.

    `environment` is added to this process's own. `removes` is a folder that the child deletes if this process ends
    without stopping it.
    """
    variables = child_environment(environment or {})
    if removes is not None:
        variables[REMOVE] = str(removes)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fruitscale.processes", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=variables,
        pass_fds=pass_fds,
        process_group=0,
    )


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child Python: ours, `more`, a safe path, and a PYTHONPATH to fruitscale in a checkout."""
    variables = {**os.environ, **more, "PYTHONSAFEPATH": "1"}  # no file of the current folder is imported
    if not {"site-packages", "dist-packages"} & set(PACKAGE_ROOT.parts):  # run from a checkout
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), variables.get("PYTHONPATH")]))
    return variables


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a child and every process in its group, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def main() -> None:
    """Run the module named by the first argument, in the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = os.environ.pop(REMOVE, None)
    lifeline = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    threading.Thread(target=_end_with_parent, args=(lifeline, folder), name="lifeline", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_parent(lifeline: int, folder: str | None) -> None:
    while os.read(lifeline, 1):
        pass
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
