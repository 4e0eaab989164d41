"""Reports a run's progress to an observer and to `_run/progress.json`, and times its stages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from fruitscale.display.events import Event, Observer, Stage
from fruitscale.engines.base import EngineInfo
from fruitscale.errors import FruitscaleError, OutputError, StorageError
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage import waiting
from fruitscale.storage.s3 import S3Store

WRITE_SECONDS = 3.0


def describe_failure(error: BaseException) -> str:
    """Return an error as text for progress.json."""
    return error.message if isinstance(error, FruitscaleError) else f"{type(error).__name__}: {error}"


class RunProgress:
    """The current Event of one run, and the clock of its stages."""

    def __init__(self, run_id: str, observer: Observer) -> None:
        self.run_id = run_id
        self.folder: RunFolder | None = None  # set once the run may write to it
        self.seconds: dict[str, float] = {}
        self._observer = observer
        self._event = Event("list")
        self._began = time.perf_counter()
        self._written = 0.0
        self._lock = threading.RLock()

    @property
    def total_seconds(self) -> float:
        """Wall-clock seconds since the run began."""
        return time.perf_counter() - self._began

    @property
    def stopped(self) -> str:
        """What an interrupted run has done, as sentences."""
        event = self._event
        if event.stage in ("fit", "project", "finish"):
            return "Stopped. The features of all photos are done and kept."
        if event.stage != "featurize" or event.total is None:
            return "Stopped before the first photo."
        return f"Stopped. {event.done:,} of {event.total:,} photos are done and kept."

    @contextmanager
    def stage(
        self, stage: Stage, total: int | None = None, message: str | None = None, kept: int = 0
    ) -> Iterator[None]:
        """Report that a stage began, and time it. `message` is shown until it advances; `kept` is done already."""
        start = time.perf_counter()
        with self._lock:
            self._event = replace(self._event, stage=stage, done=kept, resumed=kept, total=total, message=message)
            self._publish()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - start

    def advance(self, done: int, rejected: int | None = None, resumed: int | None = None) -> None:
        """Report how far the stage is. Counts never decrease, except to the exact ones at the end."""
        with self._lock:
            event = self._event
            rejected = event.rejected if rejected is None else rejected
            resumed = event.resumed if resumed is None else resumed
            if done != event.total:
                done, resumed = max(done, event.done), max(resumed, event.resumed)
            self._event = replace(event, done=done, rejected=rejected, resumed=resumed, message=None)
            self._publish()

    def advance_to(self, done: int) -> None:
        """Report from another thread that at least `done` is done: tasks report only when they end."""
        with self._lock:
            if self._event.done < done < (self._event.total or 0):
                self.advance(done)

    def warn(self, message: str) -> None:
        """Report a problem that does not fail the run, to the observer."""
        self._observer(replace(self._event, warning=message))

    def unchanged(self) -> None:
        """Report that there was nothing to do."""
        self._observer(replace(self._event, unchanged=True))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Report waits for a store, to the observer only: the progress file may be in that store."""
        with waiting.listening(self.note):
            yield

    def note(self, message: str) -> None:
        """Report a message to the observer."""
        self._observer(replace(self._event, message=message))

    def engine(self, info: EngineInfo) -> None:
        """Report which engine runs the tasks."""
        where = f" on {info.master}" if info.master else ""
        self._event = replace(self._event, engine=f"{info.name} {info.version}{where}", ui=info.ui)
        self._publish()

    def end(self, status: str, error: str | None = None) -> None:
        """Write how the run ended, if it has a folder."""
        if self.folder is not None:
            if status != "complete" and isinstance(self.folder.store, S3Store):
                self.folder = RunFolder(self.folder.store.brief())  # the store itself may be the reason of the failure
            self._write(status, error)

    def _publish(self) -> None:
        self._event = replace(self._event, seconds=dict(self.seconds))
        self._observer(self._event)
        if self.folder is not None and time.perf_counter() - self._written > WRITE_SECONDS:
            self._write("running", None)

    def _write(self, status: str, error: str | None) -> None:
        assert self.folder is not None
        self._written = time.perf_counter()
        state = {"run": self.run_id, "status": status, "error": error, "time": time.time(), **asdict(self._event)}
        try:
            self.folder.write_progress(state)
        except (StorageError, OutputError):
            if status == "running":
                raise
