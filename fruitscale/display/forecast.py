"""Forecasts how long a stage still takes, from the reports of how far it is."""

from __future__ import annotations


class Forecast:
    """Seconds that are left at the pace since the first photo was done; before, no forecast.

    What comes before the first report, such as workers that start, is no measure of what follows.
    """

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None
        self._total = 0

    def add(self, now: float, done: int, total: int) -> None:
        """Take a report: `done` of `total` at the time `now`, in seconds of any clock. Kept photos count in neither."""
        self._total = total
        if done > 0 and self._first is None:
            self._first = (now, done)
        if self._last is None or done > self._last[1]:
            self._last = (now, done)

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds that are left, 0 if it takes longer than forecast, or None while the pace is unknown."""
        if self._first is None or self._last is None or self._last[1] == self._first[1]:
            return None
        pace = (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])
        return max((self._total - self._last[1]) / pace - (now - self._last[0]), 0.0)
