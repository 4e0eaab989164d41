"""Shows a run's progress in a Jupyter notebook, one line per stage, updated in place."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fruitscale.display.events import STAGES, UNITS, Event, Observer
from fruitscale.display.formatting import counted

PAUSE_SECONDS = 0.3
"""Seconds between two updates of the same stage, at least."""


@contextmanager
def notebook_observer(observer: Observer | None) -> Iterator[Observer]:
    """Yield the observer of a run: the given one, else the notebook's if this is one, else one that ignores events."""
    if observer is not None:
        yield observer
    elif is_notebook():
        shown = _NotebookDisplay()
        try:
            yield shown.show
        finally:
            shown.end()
    else:
        yield lambda event: None


def is_notebook() -> bool:
    """Return whether this code runs in a notebook's kernel."""
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return hasattr(shell, "kernel")


class _NotebookDisplay:
    """The progress of a run in the output of a cell."""

    def __init__(self) -> None:
        from IPython import display

        self._html = display.HTML
        self._handle: Any = display.display(self._html(""), display_id=True)
        self._event: Event | None = None
        self._last = 0.0
        self._warnings: list[str] = []

    def show(self, event: Event) -> None:
        """Show an event, unless one of the same stage was shown just before."""
        if event.warning:
            self._warnings.append(event.warning)
        same = self._event is not None and self._event.stage == event.stage
        self._event = event
        if not same or event.warning or event.done == event.total or time.monotonic() - self._last > PAUSE_SECONDS:
            self._update(running=True)

    def end(self) -> None:
        """Show the last event without a progress bar."""
        self._update(running=False)

    def _update(self, *, running: bool) -> None:
        if self._event is not None:
            self._last = time.monotonic()
            self._handle.update(self._html(picture(self._event, self._warnings, running=running)))


def picture(event: Event, warnings: Sequence[str] = (), *, running: bool) -> str:
    """Return the HTML of an event: finished stages with their seconds, the progress of the current one, and warnings."""
    lines = [f"{stage}: {event.seconds[stage]:.1f} s" for stage in STAGES if stage in event.seconds]
    if event.stage not in event.seconds:
        of = f"{event.done:,} of " if event.total else ""
        notes = [f"{event.rejected:,} rejected"] * bool(event.rejected) + [f"{event.resumed:,} kept"] * bool(
            event.resumed
        )
        words = ", ".join(
            [
                f"{of}{counted(event.total or event.done, UNITS[event.stage])}",
                *notes,
                *([event.message] if event.message else []),
            ]
        )
        share = f' value="{event.done}" max="{event.total}"' if event.total else ""
        bar = f" <progress{share}></progress>" if running else ""
        lines.append(f"<b>{event.stage}</b>: {html.escape(words)}{bar}")
    engine = [html.escape(event.engine)] if event.engine else []
    problems = [f"Warning: {html.escape(warning)}" for warning in warnings]
    return "<br>".join([*engine, *lines, *problems])
