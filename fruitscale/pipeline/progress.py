"""Where a run is, told to whoever watches: an observer, and `_run/progress.json`. Times the stages as it goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from fruitscale.display.events import UNITS, Event, Observer, Stage
from fruitscale.engines.base import EngineInfo
from fruitscale.errors import StorageError
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage import waiting
from fruitscale.storage.s3 import S3Store

WRITE_SECONDS = 3.0


class RunProgress:
    """The state of one run as an Event that changes; the clock of its stages."""

    def __init__(self, run_id: str, observer: Observer) -> None:
        self.run_id = run_id
        self.folder: RunFolder | None = None  # once it is ours to write
        self.seconds: dict[str, float] = {}
        self._observer = observer
        self._event = Event("list")
        self._began = time.perf_counter()
        self._written = 0.0

    @property
    def total_seconds(self) -> float:
        """The wall time since the run began."""
        return time.perf_counter() - self._began

    @property
    def so_far(self) -> str:
        """How far the stage is, to be said after a verb."""
        event = self._event
        return f" after {event.done} of {event.total} {UNITS[event.stage]}" if event.total else ""

    @contextmanager
    def stage(self, stage: Stage, total: int | None = None) -> Iterator[None]:
        """Time a stage and tell that it began."""
        start = time.perf_counter()
        self._event = replace(self._event, stage=stage, done=0, total=total, message=None)
        self._tell()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - start

    def advance(self, done: int, rejected: int | None = None, resumed: int | None = None) -> None:
        """Tell how far the stage is."""
        event = self._event
        rejected = event.rejected if rejected is None else rejected
        resumed = event.resumed if resumed is None else resumed
        self._event = replace(event, done=done, rejected=rejected, resumed=resumed)
        self._tell()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Report when a store is waited for, to the observer alone: the progress file may be in that very store."""
        with waiting.listening(self._note):
            yield

    def _note(self, message: str) -> None:
        self._observer(replace(self._event, message=message))

    def engine(self, info: EngineInfo) -> None:
        """Tell what runs the tasks."""
        where = f" on {info.master}" if info.master else ""
        self._event = replace(self._event, engine=f"{info.name} {info.version}{where}", ui=info.ui)
        self._tell()

    def end(self, status: str, error: str | None = None) -> None:
        """Write how the run ended, where there is a folder to write to."""
        if self.folder is not None:
            if status != "complete" and isinstance(self.folder.store, S3Store):
                self.folder = RunFolder(self.folder.store.brief())  # it may have failed because the store is away
            self._write(status, error)

    def _tell(self) -> None:
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
        except StorageError:
            if status == "running":  # what can't be written will be told by the stage that must write
                raise
