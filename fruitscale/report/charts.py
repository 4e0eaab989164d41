"""The Bokeh figures of a run's page.

The page sets their colours, light or dark: a renderer's name, or the tag of any other element, is the name of a colour in
style.css.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.report.palette import LIGHT, style_of
from fruitscale.report.run_facts import RunFacts

if TYPE_CHECKING:
    from bokeh.models import Plot

MARKS = (0.8, 0.9, 0.95, 0.99)
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def scatter(facts: RunFacts) -> Plot:
    """Return the scatter of two components. The page switches components, and hides labels with the filter `shown`."""
    from bokeh.models import BooleanFilter, CDSView, ColumnDataSource, LinearColorMapper
    from bokeh.transform import transform

    points = facts.leading[facts.sample]
    styles = [style_of(number) for number in facts.style_numbers.tolist()]
    columns: dict[str, Any] = {f"c{number}": points[:, number] for number in range(points.shape[1])}
    columns |= {
        "x": points[:, 0],
        "y": points[:, min(1, points.shape[1] - 1)],
        "tone": np.array([style.tone for style in styles], np.int8),
        "shape": [style.shape for style in styles],
        "fill": np.array([0.05 if style.hollow else 0.7 for style in styles], np.float32),
    }
    plot = plot_of("Component 1", "Component 2", height=560)
    tones = LinearColorMapper(palette=list(LIGHT), low=-0.5, high=len(LIGHT) - 0.5, tags=["tones"])
    colour = transform("tone", tones)
    source = ColumnDataSource(columns, name="points")
    plot.scatter(
        "x", "y", source=source, view=CDSView(filter=BooleanFilter([True] * len(styles), name="shown")), marker="shape",
        size=_size_of(len(styles)), fill_color=colour, line_color=colour, fill_alpha="fill", line_alpha=0.9,
        nonselection_fill_alpha=0.03, nonselection_line_alpha=0.08,
    )  # fmt: skip
    return plot


def variance(facts: RunFacts) -> Plot:
    """Return the cumulative variance by number of components, with the chosen number and the usual marks."""
    from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Range1d, Span

    ratio, k = facts.fitted.ratio, facts.fitted.k
    kept = np.cumsum(ratio)
    last = min(max(int(np.searchsorted(kept, 0.995)) + 1, k + k // 10 + 1), len(kept))
    numbers = np.arange(1, last + 1)
    source = ColumnDataSource({"number": numbers, "kept": kept[:last], "own": ratio[:last]})
    plot = plot_of("Components", "Variance kept", height=340)
    plot.x_range, plot.y_range = Range1d(0, last * 1.02), Range1d(0, 1.02)
    plot.yaxis.formatter = NumeralTickFormatter(format="0%")
    for mark in MARKS:
        plot.add_layout(Span(location=mark, dimension="width", line_dash="dotted", line_width=1, tags=["muted"]))
    plot.add_layout(Span(location=k, dimension="height", line_width=1.5, line_dash="dashed", tags=["second"]))
    plot.line("number", "kept", source=source, line_width=2.5, name="accent")
    _label_marks(plot, kept, last)
    dots = plot.scatter([k], [kept[k - 1]], size=10, name="second")
    dots.level = "annotation"
    near = plot.scatter("number", "kept", source=source, size=12, fill_alpha=0, line_alpha=0)
    tips = [("components", "@number"), ("variance kept", "@kept{0.00%}"), ("the last one's own", "@own{0.000%}")]
    plot.add_tools(HoverTool(renderers=[near], tooltips=tips, mode="vline"))
    return plot


def _size_of(n_points: int) -> int:
    """Return the size of points in pixels: the more points, the smaller."""
    return 9 if n_points < 1000 else 8 if n_points < 3000 else 6


def _label_marks(plot: Any, kept: NDArray[np.float64], last: int) -> None:  # noqa: ANN401  Bokeh has no types
    """Label each mark where the curve crosses it."""
    from bokeh.models import Label

    for mark in MARKS:
        at = components_for(kept, mark)
        if at <= last:
            plot.add_layout(
                Label(x=at, y=mark, x_offset=7, y_offset=-18, text=f"{mark:.0%}: {at:,}", text_font=FONT,
                      text_font_size="12px", tags=["muted"])
            )  # fmt: skip


def components_for(kept: NDArray[np.float64], mark: float) -> int:
    """Return how many components reach `mark`; `kept` is the cumulative variance of the first components (F,)."""
    return min(int(np.searchsorted(kept, mark - 1e-12)) + 1, len(kept))


def plot_of(x_label: str, y_label: str, height: int, **options: Any) -> Any:  # noqa: ANN401  Bokeh has no types
    """Return an empty plot as wide as its container, without a toolbar: the page has its own buttons."""
    from bokeh.models import PanTool, WheelZoomTool
    from bokeh.plotting import figure

    plot = figure(
        height=height, sizing_mode="stretch_width", tools=[], toolbar_location=None, background_fill_alpha=0,
        border_fill_alpha=0, outline_line_alpha=0, x_axis_label=x_label, y_axis_label=y_label, min_border=8, **options,
    )  # fmt: skip
    plot.add_tools(PanTool(), WheelZoomTool())
    plot.toolbar.active_drag = plot.toolbar.active_scroll = None
    for axis in plot.axis:
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_style, axis.axis_label_text_font_size = "normal", "13px"
        axis.major_label_text_font_size, axis.minor_tick_line_alpha = "12px", 0
        axis.major_tick_line_alpha = 0
    return plot
