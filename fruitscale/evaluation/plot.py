"""Plots an evaluation as an HTML page that needs no network: accuracy and silhouette by number of components."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from fruitscale.errors import MissingExtraError, StorageError
from fruitscale.evaluation.nearest_neighbours import Evaluation, Score

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
"""From the palette of Okabe and Ito, which colour-blind readers can distinguish."""


def write_plot(evaluation: Evaluation, path: Path) -> None:
    """Write the page. Raises MissingExtraError without Bokeh, StorageError if it can't be written."""
    if importlib.util.find_spec("bokeh") is None:
        raise MissingExtraError("Bokeh", "report")
    from bokeh.embed import file_html
    from bokeh.layouts import column
    from bokeh.resources import INLINE

    page = column(_accuracy(evaluation), _silhouette(evaluation), sizing_mode="stretch_width")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file_html(page, INLINE, title=f"Evaluation of {evaluation.run}"), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}.", "Choose another --plot.") from None


def _accuracy(evaluation: Evaluation) -> Any:  # noqa: ANN401  Bokeh has no types here
    from bokeh.models import Span

    figure = _figure(
        f"{evaluation.neighbours} nearest neighbours: accuracy on {evaluation.test_images:,} photos", "accuracy (%)"
    )
    values = [100 * point.accuracy for point in evaluation.points]
    _curve(figure, evaluation, values, "components")
    _level(figure, evaluation, 100 * evaluation.full.accuracy, f"all {evaluation.width:,} features", ORANGE, "dashed")
    if evaluation.pixels is not None:
        _level(figure, evaluation, 100 * evaluation.pixels.accuracy, "raw pixels", GREEN, "dotted")
    if evaluation.enough is not None:
        figure.add_layout(Span(location=evaluation.enough, dimension="height", line_color="gray", line_dash="dotdash"))
    return figure


def _silhouette(evaluation: Evaluation) -> Any:  # noqa: ANN401
    figure = _figure("Silhouette of the labels: 1 is well apart, 0 is mixed", "silhouette")
    values = [float("nan") if point.silhouette is None else point.silhouette for point in evaluation.points]
    _curve(figure, evaluation, values, "components")
    levels: list[tuple[Score | None, str, str, str]] = [
        (evaluation.full, "all features", ORANGE, "dashed"),
        (evaluation.pixels, "raw pixels", GREEN, "dotted"),
    ]
    for score, name, colour, dash in levels:
        if score is not None and score.silhouette is not None:
            _level(figure, evaluation, score.silhouette, name, colour, dash)
    return figure


def _figure(title: str, y: str) -> Any:  # noqa: ANN401
    from bokeh.plotting import figure

    return figure(
        title=title, x_axis_label="components", y_axis_label=y, x_axis_type="log", height=330,
        sizing_mode="stretch_width", tools="pan,wheel_zoom,box_zoom,reset,save,hover",
        tooltips=[("components", "@x"), (y, "@y{0.000}")],
    )  # fmt: skip


def _curve(figure: Any, evaluation: Evaluation, values: list[float], name: str) -> None:  # noqa: ANN401
    x = [point.components for point in evaluation.points]
    figure.line(x, values, line_width=2, color=BLUE, legend_label=name)
    figure.scatter(x, values, size=6, color=BLUE)
    figure.legend.location = "bottom_right"  # curves rise from the left


def _level(figure: Any, evaluation: Evaluation, value: float, name: str, colour: str, dash: str) -> None:  # noqa: ANN401
    x = [1, max(evaluation.chosen, 2)]
    figure.line(x, [value, value], line_width=2, color=colour, line_dash=dash, legend_label=name)
