"""Tests of forecasts: how long a stage still takes."""

from __future__ import annotations

import pytest

from fruitscale.display.forecast import Forecast


def test_nothing_is_forecast_before_the_pace_is_known() -> None:
    forecast = Forecast()
    assert forecast.seconds_left(0) is None
    forecast.add(0, 0, 100)
    forecast.add(60, 10, 100)
    assert forecast.seconds_left(61) is None


def test_the_start_of_workers_is_no_measure_of_what_follows() -> None:
    forecast = Forecast()
    for now, done in ((0, 0), (60, 10), (70, 20)):
        forecast.add(now, done, 100)
    assert forecast.seconds_left(70) == pytest.approx(80)


def test_it_counts_down_between_reports_and_not_below_nothing() -> None:
    forecast = Forecast()
    for now, done in ((10, 10), (20, 20)):
        forecast.add(now, done, 100)
    forecast.add(50, 20, 100)  # nothing new
    assert [forecast.seconds_left(now) for now in (21, 60, 500)] == pytest.approx([79, 40, 0])
