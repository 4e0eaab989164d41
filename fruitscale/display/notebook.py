"""Shows where a run is in a Jupyter notebook: one line a stage, in place. Needs nothing but what Jupyter has."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fruitscale.display.events import STAGES, UNITS, Event, Observer

PAUSE_SECONDS = 0.3
"""Between two pictures of the same stage."""


@contextmanager
def notebook_observer(observer: Observer | None) -> Iterator[Observer]:
    """Give the observer of a run: the one that was given, else the notebook's where this is one, else nobody."""
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
    """Tell whether this code runs in a notebook's kernel, and not in a terminal."""
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return hasattr(shell, "kernel")


class _NotebookDisplay:
    """A picture in the output of a cell, which changes as the run goes on."""

    def __init__(self) -> None:
        from IPython import display

        self._html = display.HTML
        self._handle: Any = display.display(self._html(""), display_id=True)
        self._event: Event | None = None
        self._last = 0.0

    def show(self, event: Event) -> None:
        """Show an event, unless the last one of its stage was shown just now."""
        same = self._event is not None and self._event.stage == event.stage
        self._event = event
        if not same or event.done == event.total or time.monotonic() - self._last > PAUSE_SECONDS:
            self._update(running=True)

    def end(self) -> None:
        """Show the last event, as one after which nothing runs."""
        self._update(running=False)

    def _update(self, *, running: bool) -> None:
        if self._event is not None:
            self._last = time.monotonic()
            self._handle.update(self._html(picture(self._event, running=running)))


def picture(event: Event, *, running: bool) -> str:
    """Return the HTML of an event: the stages that are done with their seconds, and how far the current one is."""
    lines = [f"{stage}: {event.seconds[stage]:.1f} s" for stage in STAGES if stage in event.seconds]
    if event.stage not in event.seconds:
        of = f" of {event.total:,}" if event.total else ""
        notes = [f"{event.rejected:,} rejected"] * bool(event.rejected) + [f"{event.resumed:,} kept"] * bool(
            event.resumed
        )
        words = ", ".join(
            [f"{event.done:,}{of} {UNITS[event.stage]}", *notes, *([event.message] if event.message else [])]
        )
        share = f' value="{event.done}" max="{event.total}"' if event.total else ""
        bar = f" <progress{share}></progress>" if running else ""
        lines.append(f"<b>{event.stage}</b>: {html.escape(words)}{bar}")
    engine = [html.escape(event.engine)] if event.engine else []
    return "<br>".join([*engine, *lines])
