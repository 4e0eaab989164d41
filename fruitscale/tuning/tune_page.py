"""The page of a tuning: the front as a chart, and every candidate in a table."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from fruitscale.report import html_page
from fruitscale.report.charts import plot_of
from fruitscale.report.palette import style_of
from fruitscale.tuning import tune_tables
from fruitscale.tuning.tuning_results import Row, Tuning

if TYPE_CHECKING:
    from bokeh.models import Plot


def make_tune_page(tuning: Tuning) -> bytes:
    """Return the page. Raises MissingExtraError without Bokeh."""
    html_page.check_installed()
    headings, rows = tune_tables.table(tuning.rows, tuning)
    text = json.dumps(tuning.to_json(), indent=2)
    facts = {
        "title": "Tuning",
        "tuning": tuning,
        "sentences": tune_tables.conclude(tuning),
        "legend": tune_tables.legend(tuning),
        "headings": headings,
        "texts": tune_tables.TEXTS,
        "rows": [(cells, row == tuning.recommended) for cells, row in zip(rows, tuning.rows, strict=True)],
        "dropped": [(cells, False) for cells in tune_tables.table(tuning.dropped, tuning)[1]],
        "key": {row.candidate.precision: _style(row) for row in tuning.rows},
        "download": f"data:application/json;base64,{base64.b64encode(text.encode()).decode()}",
    }
    return html_page.render("tune.html", facts, {"looks": []}, {"front": _chart(tuning)})


def _style(row: Row) -> Any:  # noqa: ANN401
    return style_of({"f32": 0, "bf16": 8, "int8": 16}[row.candidate.precision])  # every 8th differs in colour and shape


def _chart(tuning: Tuning) -> Plot:
    """Draw quality over time per photo, with intervals, the front, and the tolerance."""
    from bokeh.models import NumeralTickFormatter, Span

    plot = plot_of("Milliseconds per photo and core", tuning.measure.capitalize(), height=420)
    plot.yaxis.formatter = NumeralTickFormatter(format="0.0%")
    base = tuning.reference.quality
    plot.add_layout(
        Span(location=base - tuning.tolerance, dimension="width", line_dash="dotted", line_width=1, tags=["muted"])
    )
    front = [row for row in tuning.rows if row.is_on_front]
    plot.line(
        [r.ms_per_photo for r in front], [r.quality for r in front], line_width=1.5, line_dash="dashed", name="muted"
    )
    for row in tuning.rows:
        style, (_, low, high) = _style(row), row.difference
        plot.segment(
            row.ms_per_photo, base + low, row.ms_per_photo, base + high, line_width=1.5, name=f"tone-{style.tone}"
        )
        size = 15 if row == tuning.recommended else 10
        dot = plot.scatter([row.ms_per_photo], [row.quality], marker=style.shape, size=size, name=f"tone-{style.tone}")
        dot.glyph.fill_alpha = 1.0 if row.is_on_front else 0.35
    return plot
