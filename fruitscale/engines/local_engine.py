"""Local processes: the reference for the other engines.

The driver talks to each worker over a socket pair. A worker has one task under way and one in its hands, so that it
never waits for the driver.
"""

from __future__ import annotations

import contextlib
import importlib
import pickle
import platform
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from fruitscale import processes
from fruitscale.config.schema import Config
from fruitscale.engines.base import EngineInfo, SharedValue, TaskOutcome, attempt, last_line, task_failed
from fruitscale.errors import EngineError
from fruitscale.storage.scratch import ScratchFolder

T = TypeVar("T")
R = TypeVar("R")

DEATHS_ALLOWED = 3
IN_HAND = 2  # one under way, one waiting
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class SharedFile:
    """Bytes that every worker reads once, from a file."""

    path: str

    def value(self) -> bytes:
        """Return the bytes."""
        return _read_once(self.path)


@cache
def _read_once(path: str) -> bytes:
    return Path(path).read_bytes()


@dataclass
class WorkerProcess:
    """The driver's view of a worker process."""

    process: subprocess.Popen[bytes]
    connection: Connection
    in_hand: deque[int] = field(default_factory=deque)

    def end(self) -> None:
        """Kill the process."""
        processes.stop(self.process)
        self.connection.close()


class LocalEngine:
    """Runs tasks in processes on this machine."""

    def __init__(self, config: Config, slots: int, warm: tuple[str, ...] = ()) -> None:
        self._slots = slots
        self._warm = warm
        self._scratch = ScratchFolder("local")
        self._folder = self._scratch.path
        self._log: IO[bytes] = (self._folder / "workers.log").open("ab")
        self._workers: list[WorkerProcess] = [self._start_worker() for _ in range(slots)]
        self._shares = 0
        self._retries = 0
        self._deaths: list[int] = []
        """How many workers each task of the current map has killed."""

    def share(self, payload: bytes) -> SharedValue:
        """Write the bytes to a file that the workers read."""
        path = self._folder / f"shared-{self._shares}"
        path.write_bytes(payload)
        self._shares += 1
        return SharedFile(str(path))

    def map(
        self, function: Callable[[T, SharedValue | None], R], tasks: Sequence[T], shared: SharedValue | None = None
    ) -> Iterator[R]:
        """Yield the results as they complete. Raises what base.Engine.map raises."""
        todo = deque(range(len(tasks)))
        self._deaths = [0] * len(tasks)
        left = len(tasks)
        try:
            while left:
                self._hand_out(todo, function, tasks, shared)
                for worker in self._ready():
                    reply = _receive(worker)
                    if reply is None:
                        self._bury(worker, todo)
                        continue
                    worker.in_hand.popleft()
                    left -= 1
                    if todo:  # before the consumer runs, which may take long
                        self._send(worker, todo.popleft(), function, tasks, shared)
                    yield self._unwrap(reply)
        finally:
            for worker in [worker for worker in self._workers if worker.in_hand]:  # the map ended early
                self._workers.remove(worker)
                worker.end()

    def describe(self) -> EngineInfo:
        """Return what runs the tasks."""
        return EngineInfo("local", platform.python_version(), None, self._slots, self._slots, None, self._retries)

    def close(self) -> None:
        """End the workers and remove the files."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._log.close()
        self._scratch.remove()

    def _start_worker(self) -> WorkerProcess:
        ours, theirs = Pipe()
        number = theirs.fileno()
        process = processes.start(
            "fruitscale.engines.local_engine",
            [str(number), *self._warm],
            output=self._log,
            pass_fds=[number],
            environment=ONE_THREAD,
            removes=self._folder,
        )
        theirs.close()
        return WorkerProcess(process, ours)

    def _hand_out(self, todo: deque[int], function: Any, tasks: Sequence[Any], shared: SharedValue | None) -> None:  # noqa: ANN401
        for worker in [worker for worker in self._workers if worker.process.poll() is not None and not worker.in_hand]:
            self._workers.remove(worker)  # it died while idle
            worker.end()
        while len(self._workers) < self._slots:
            self._workers.append(self._start_worker())
        for held in range(IN_HAND):  # each worker gets one task before any gets two
            for worker in self._workers:
                if todo and len(worker.in_hand) == held:
                    self._send(worker, todo.popleft(), function, tasks, shared)

    def _send(
        self,
        worker: WorkerProcess,
        index: int,
        function: Any,  # noqa: ANN401
        tasks: Sequence[Any],
        shared: SharedValue | None,
    ) -> None:
        message = pickle.dumps((function, tasks[index], shared, self._deaths[index] > 0))
        worker.in_hand.append(index)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died: the next receive reports that
            worker.connection.send_bytes(message)

    def _ready(self) -> list[WorkerProcess]:
        ready = wait([worker.connection for worker in self._workers])
        return [worker for worker in self._workers if worker.connection in ready]

    def _bury(self, worker: WorkerProcess, todo: deque[int]) -> None:
        """Requeue the tasks of a dead worker; the running one may have killed it."""
        self._workers.remove(worker)
        worker.end()
        todo.extendleft(reversed(worker.in_hand))
        if not worker.in_hand:
            return
        self._retries += 1
        self._deaths[worker.in_hand[0]] += 1
        if self._deaths[worker.in_hand[0]] > DEATHS_ALLOWED:
            raise EngineError(
                f"A worker process {self._cause(worker)}, {DEATHS_ALLOWED + 1} times on the same task.",
                "If memory is short, lower `slots` or model.input_size. Finished parts are kept.",
            )

    def _cause(self, worker: WorkerProcess) -> str:
        code = worker.process.returncode
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL; the system does that when memory runs out)"
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        lines = (self._folder / "workers.log").read_text(errors="replace").strip().splitlines()
        return f"ended with exit code {code} ({lines[-1] if lines else 'without output'})"

    def _unwrap(self, reply: tuple[TaskOutcome | None, str]) -> Any:  # noqa: ANN401
        outcome, failure = reply
        if outcome is None:
            raise task_failed(failure)
        return outcome.unwrap()


def _receive(worker: WorkerProcess) -> tuple[TaskOutcome | None, str] | None:
    try:
        return cast("tuple[TaskOutcome | None, str]", worker.connection.recv())
    except (EOFError, ConnectionResetError):
        return None


def work(connection: Connection, warm: Sequence[str]) -> None:
    """Run tasks until the driver closes the connection."""
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    # Always reading, so that the driver can send a large task while a large result is on its way.
    threading.Thread(target=_keep_reading, args=(connection, messages), daemon=True).start()
    for module in warm:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    while (message := messages.get()) is not None:
        connection.send_bytes(_reply(message))


def _keep_reading(connection: Connection, messages: queue.SimpleQueue[bytes | None]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            messages.put(connection.recv_bytes())
    messages.put(None)


def _reply(message: bytes) -> bytes:
    try:
        function, task, shared, retry = pickle.loads(message)  # noqa: S301  from the driver, our parent
        return pickle.dumps((attempt(function, task, shared, retry=retry), ""), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001  the driver raises it, whatever it is
        return pickle.dumps((None, last_line(error)))


if __name__ == "__main__":
    work(Connection(int(sys.argv[1])), sys.argv[2:])
