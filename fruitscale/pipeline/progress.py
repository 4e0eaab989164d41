"""Reports a run's progress to an observer and to `_run/progress.json`, and times its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from fruitscale.display.events import UNITS, Event, Observer, Stage
from fruitscale.engines.base import EngineInfo
from fruitscale.errors import OutputError, StorageError
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage import waiting
from fruitscale.storage.s3 import S3Store

WRITE_SECONDS = 3.0


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

    @property
    def total_seconds(self) -> float:
        """Wall-clock seconds since the run began."""
        return time.perf_counter() - self._began

    @property
    def so_far(self) -> str:
        """How far the stage got, as a phrase to follow a verb."""
        event = self._event
        return f" after {event.done} of {event.total} {UNITS[event.stage]}" if event.total else ""

    @contextmanager
    def stage(self, stage: Stage, total: int | None = None) -> Iterator[None]:
        """Report that a stage began, and time it."""
        start = time.perf_counter()
        self._event = replace(self._event, stage=stage, done=0, total=total, message=None)
        self._publish()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - start

    def advance(self, done: int, rejected: int | None = None, resumed: int | None = None) -> None:
        """Report how far the stage is."""
        event = self._event
        rejected = event.rejected if rejected is None else rejected
        resumed = event.resumed if resumed is None else resumed
        self._event = replace(event, done=done, rejected=rejected, resumed=resumed)
        self._publish()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Report waits for a store, to the observer only: the progress file may be in that store."""
        with waiting.listening(self._note):
            yield

    def warn(self, warning: str) -> None:
        """Report a problem that doesn't fail the run, to the observer only: it may name a photo."""
        self._observer(replace(self._event, warning=warning))

    def _note(self, message: str) -> None:
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
