"""Shows a run's progress on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from fruitscale.display.events import TITLES, UNITS, Event, Observer, Stage
from fruitscale.display.forecast import Forecast
from fruitscale.display.formatting import counted, number, printable, rough_seconds
from fruitscale.display.safe_console import SafeConsole

LINE_SECONDS = 10.0


@contextmanager
def display(*, quiet: bool = False) -> Iterator[Observer]:
    """Yield an observer that shows events on stderr within the block."""
    console = SafeConsole(stderr=True)
    if quiet:
        yield _warn
    elif console.is_terminal:
        with _LiveDisplay(console) as live:
            yield live.show
    else:
        yield _LineDisplay().show


class _Rate(ProgressColumn):
    """Images per second of this run, while featurizing: the record has the same figure in the end."""

    def render(self, task: Task) -> Text:
        made, elapsed = task.completed - task.fields["kept"], task.finished_time or task.elapsed
        return Text(f"{made / elapsed:,.0f}/s" if task.fields["rated"] and made > 0 and elapsed else "", style="cyan")


class _Remaining(ProgressColumn):
    """The time that is left, counted down between reports; nothing on lines that have ended."""

    def render(self, task: Task) -> Text:
        forecast: Forecast = task.fields["forecast"]
        left = None if task.finished or task.fields["ended"] else forecast.seconds_left(time.monotonic())
        return Text("" if left is None else f"{rough_seconds(left)} left", style="cyan")


class _Count(ProgressColumn):
    """How many of how many; nothing for a stage that is one thing."""

    def render(self, task: Task) -> Text:
        return Text(f"{number(task.completed)} of {number(task.total)}" if task.total else "", style="green")


class _State(SpinnerColumn):
    """A spinner, which becomes a tick, or a cross where the run ended."""

    def render(self, task: Task) -> RenderableType:
        return Text("✗", style="red") if task.fields["ended"] else super().render(task)


class _LiveDisplay:
    """One line per stage, with a bar; the engine and its dashboard above."""

    def __init__(self, console: SafeConsole) -> None:
        self._progress = Progress(
            _State(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            _Count(),
            _Rate(),
            TimeElapsedColumn(),
            _Remaining(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._tasks: dict[Stage, TaskID] = {}
        self._engine_shown = False

    def __enter__(self) -> _LiveDisplay:
        self._progress.start()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self._end_others()
        for task in self._progress.tasks:
            self._progress.update(task.id, ended=not task.finished)
        self._progress.stop()

    def show(self, event: Event) -> None:
        if event.engine and not self._engine_shown:
            self._progress.console.print(_engine_line(event), style="dim")
            self._engine_shown = True
        if event.warning:
            self._progress.console.print(Text.assemble(("Warning: ", "bold yellow"), printable(event.warning)))
        if event.stage not in self._tasks:
            self._end_others()
            self._tasks[event.stage] = self._progress.add_task(
                TITLES[event.stage],
                total=event.total,
                note="",
                kept=0,
                rated=event.stage == "featurize",
                ended=False,
                forecast=Forecast(),
            )
        task = self._progress.tasks[self._tasks[event.stage]]
        task.fields["forecast"].add(time.monotonic(), event.done - event.resumed, (event.total or 0) - event.resumed)
        self._progress.update(task.id, completed=event.done, total=event.total, kept=event.resumed, note=_note(event))

    def _end_others(self) -> None:
        for task in self._progress.tasks:
            if not task.finished:
                total = task.total or task.completed or 1
                self._progress.update(task.id, total=total, completed=total)


class _LineDisplay:
    """A line when a stage begins, and every 10 s while it lasts."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._message: str | None = None
        self._engine_shown = False
        self._last = 0.0
        self._forecast = Forecast()

    def show(self, event: Event) -> None:
        if event.engine and not self._engine_shown:
            self._engine_shown = True
            self._print(_engine_line(event))
        _warn(event)
        if event.stage != self._stage:
            self._stage, self._forecast = event.stage, Forecast()
            total = f": {counted(event.total, UNITS[event.stage])}" if event.total else ""
            self._print(f"{TITLES[event.stage]}{total}")
        now = time.monotonic()
        self._forecast.add(now, event.done - event.resumed, (event.total or 0) - event.resumed)
        if event.message and event.message != self._message:  # such as that it waits: no other event comes then
            self._print(f"{TITLES[event.stage]}: {event.message}")
        elif now - self._last > LINE_SECONDS:
            of = f"{event.done:,} of " if event.total else ""
            done = f"{of}{counted(event.total or event.done, UNITS[event.stage])}"
            left = self._forecast.seconds_left(now)
            notes = [_note(event)] if _note(event) else []
            notes += [f"about {rough_seconds(left)} left"] if left else []
            self._print(", ".join([f"{TITLES[event.stage]}: {done}", *notes]))
        self._message = event.message

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        print_line(line)


def _warn(event: Event) -> None:
    """Print warnings, even if quiet."""
    if event.warning:
        print_line(f"Warning: {event.warning}")


def print_line(text: str) -> None:
    """Print a line on stderr at once, with control characters escaped."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


def _engine_line(event: Event) -> str:
    return f"{event.engine}" + (f", dashboard: {event.ui}" if event.ui else "")


def _note(event: Event) -> str:
    notes = [printable(event.message)] if event.message else []
    if event.stage == "featurize":
        notes += [f"{event.resumed:,} kept"] if event.resumed else []
        notes += [f"{event.rejected:,} rejected"] if event.rejected else []
    return ", ".join(notes)
