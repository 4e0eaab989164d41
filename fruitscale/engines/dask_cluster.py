"""A Dask cluster on this machine: its scheduler is in the driver, and one child process starts the workers.

So a script without a `__main__` guard works, and nothing outlives the driver.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import dask.config
import distributed

from fruitscale import processes
from fruitscale.engines import dask_internals
from fruitscale.storage.scratch import ScratchFolder

SETTINGS = {
    # On Python 3.11 the profiler can hang a process that starts threads, as our tasks do:
    # https://github.com/python/cpython/issues/106883, https://github.com/dask/distributed/issues/8616
    "distributed.worker.profile.enabled": False,
    # Dask's own monitoring, 50 times per second in each process, takes 3 % of two cores.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "1s",
    # A task that killed a worker comes back to us at once: our retry knows that it is one, Dask's does not.
    "distributed.scheduler.allowed-failures": 0,
}
"""Dask settings of a cluster on this machine."""


class LocalDaskCluster:
    """A scheduler here and `slots` workers, which import the modules `warm` while they wait for the scheduler."""

    def __init__(self, slots: int, warm: Sequence[str]) -> None:
        self._scratch = ScratchFolder("dask")
        self._folder = self._scratch.path
        self._cluster: Any = None
        self._dashboard: threading.Thread | None = None
        self._workers: subprocess.Popen[bytes] | None = None
        self._restarting = threading.Lock()
        self._may_restart = True
        try:
            address_path = self._folder / "scheduler.json"
            self._start_workers = partial(self._new_workers, address_path, slots, warm)
            self._workers = self._start_workers()
            self._cluster = self._start_scheduler()
            address_path.write_text(json.dumps({"address": self._cluster.scheduler_address}), encoding="utf-8")
            self.client = distributed.Client(self._cluster, set_as_default=False)
        except BaseException:
            self.close()
            raise

    def show_dashboard(self) -> None:
        """Open the dashboard in the background, once."""
        if self._dashboard is None and has_bokeh():
            self._dashboard = threading.Thread(target=self._open_dashboard, name="dashboard", daemon=True)
            self._dashboard.start()

    def has_ended(self) -> bool:
        """Return whether the process that starts the workers, and restarts them, ended."""
        return self._workers is not None and self._workers.poll() is not None

    def restart_workers(self) -> bool:
        """Restart the workers, once, if the process that starts them has ended; return whether it did.

        Nannies give up when workers are killed while they start, for example for lack of memory.
        """
        with self._restarting:
            if not (self._may_restart and self.has_ended()):
                return False
            self._may_restart = False
            assert self._workers is not None
            processes.stop(self._workers)
            self._workers = self._start_workers()
            return True

    def last_log_line(self) -> str:
        """Return the last line that the workers logged, as a sentence; empty if they logged nothing."""
        lines = (self._folder / "workers.log").read_text(errors="replace").strip().splitlines()
        return f" The last line of its log: {lines[-1]}" if lines else ""

    def finish_dashboard(self) -> None:
        """Wait until the dashboard is open, if it is being opened: it must not outlive the cluster."""
        if self._dashboard is not None:
            self._dashboard.join()

    def close(self) -> None:
        """End the workers and the scheduler. The client is closed by its user before."""
        with self._restarting:
            self._may_restart = False
        if self._workers is not None:
            processes.stop(self._workers)
        if self._cluster is not None:
            self._cluster.close()
        self._scratch.remove()

    def _start_scheduler(self) -> Any:  # noqa: ANN401
        with dask.config.set(SETTINGS):
            return distributed.LocalCluster(
                n_workers=0,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0" if has_bokeh() else None,
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )

    def _new_workers(self, address_path: Path, slots: int, warm: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start the workers, which wait until the scheduler's address is in a file."""
        arguments = ["--scheduler-file", str(address_path), "--nworkers", str(slots), "--nthreads", "1", "--nanny"]
        arguments += ["--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(self._folder)]
        for module in warm:
            if importlib.util.find_spec(module):
                arguments += ["--preload", module]
        with (self._folder / "workers.log").open("ab") as log:
            return processes.start(
                "distributed.cli.dask_worker",
                arguments,
                output=log,
                environment={_variable(key): str(value) for key, value in SETTINGS.items()},
                removes=self._folder,
            )

    def _open_dashboard(self) -> None:
        with suppress(Exception):  # a run does without
            dask_internals.open_dashboard(self._cluster)


def has_bokeh() -> bool:
    """Return whether Bokeh, which Dask's dashboard needs, is installed."""
    return importlib.util.find_spec("bokeh") is not None


def _variable(key: str) -> str:
    """Return the environment variable of a Dask setting."""
    return "DASK_" + key.replace(".", "__").replace("-", "_").upper()
