"""Shows a run's progress on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fruitscale.display.events import TITLES, UNITS, Event, Observer, Stage
from fruitscale.display.formatting import printable
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
    """Images per second, while featurizing."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed and task.fields.get("rated") else "", style="cyan")


class _LiveDisplay:
    """One line per stage, with a bar; the engine and its dashboard above."""

    def __init__(self, console: SafeConsole) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._tasks: dict[Stage, TaskID] = {}
        self._engine_shown = False

    def __enter__(self) -> _LiveDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
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
                TITLES[event.stage], total=event.total, note="", rated=event.stage == "featurize"
            )
        self._progress.update(self._tasks[event.stage], completed=event.done, total=event.total, note=_note(event))

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

    def show(self, event: Event) -> None:
        if event.engine and not self._engine_shown:
            self._engine_shown = True
            self._print(_engine_line(event))
        _warn(event)
        if event.stage != self._stage:
            self._stage = event.stage
            total = f": {event.total:,} {UNITS[event.stage]}" if event.total else ""
            self._print(f"{TITLES[event.stage]}{total}")
        if event.message and event.message != self._message:  # such as that it waits: no other event comes then
            self._print(f"{TITLES[event.stage]}: {event.message}")
        elif time.monotonic() - self._last > LINE_SECONDS:
            of = f" of {event.total:,}" if event.total else ""
            self._print(f"{TITLES[event.stage]}: {event.done:,}{of} {UNITS[event.stage]} {_note(event)}".rstrip())
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
