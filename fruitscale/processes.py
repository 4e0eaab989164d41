"""Python children that end with their parent, whatever happens to it.

A child is `python -m fruitscale.processes MODULE ARGS…`: it runs MODULE as a script, while a thread waits for the
end of its standard input, a pipe that only the parent holds open. The kernel closes it when the parent ends, also by
SIGKILL, and the child then takes its whole process group with it. It is a group of its own, so a Ctrl-C in the
terminal reaches the parent alone.
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
    """Start a module as a child of this process; what it prints goes to `output`.

    `removes` is a folder that the child deletes when this process ends without having stopped it.
    """
    variables = {**os.environ, **(environment or {})}
    if removes is not None:
        variables[REMOVE] = str(removes)
    if not {"site-packages", "dist-packages"} & set(PACKAGE_ROOT.parts):  # run from a checkout: not on every path
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), variables.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fruitscale.processes", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=variables,
        pass_fds=pass_fds,
        process_group=0,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a child and everything that it started, now."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def main() -> None:
    """Run the module that the arguments name, on a lifeline."""
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
