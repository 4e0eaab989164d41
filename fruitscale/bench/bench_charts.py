"""The charts of a benchmark's page: curves over slots and images, and positions of bars and intervals in percent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fruitscale.bench.bench_plan import Variant
from fruitscale.bench.measure import STAGES
from fruitscale.bench.results import ComparisonResult, Results, ScalingFit, VariantResult
from fruitscale.report.charts import plot_of
from fruitscale.report.palette import LabelStyle, style_of

if TYPE_CHECKING:
    from bokeh.models import Plot

LINE_STYLES = ("solid", "dashed", "dotted", "dotdash")
REST = "rest of the process"
PARTS = (*(stage for stage in STAGES if stage != "total"), REST)
TONES = {"featurize": 0, "start": 1, "list": 2, "export": 3, "fit": 4, "project": 5, REST: 6}
"""The colour number of each part."""


@dataclass(frozen=True)
class Whisker:
    """The positions of a comparison's interval, its median, 1 and the noise floor's band, in percent of the width."""

    comparison: ComparisonResult
    low: float
    middle: float
    high: float
    one: float
    floor_low: float
    floor_high: float


@dataclass(frozen=True)
class Bar:
    """A variant's seconds by part."""

    result: VariantResult
    parts: tuple[tuple[str, int, float, float], ...]
    """Name, number of its colour, seconds, percent of the slowest variant's seconds."""


def whiskers(comparisons: Sequence[ComparisonResult]) -> list[Whisker]:
    """Return the positions of all comparisons that have a ratio, on one logarithmic scale."""
    measured = [(c, c.ratio, 1 + (c.floor or 0.0)) for c in comparisons if c.ratio is not None]
    if not measured:
        return []
    edges = [1.0, *(edge for _, ratio, floor in measured for edge in (ratio.low, ratio.high, floor, 1 / floor))]
    low, high = math.log(min(edges)), math.log(max(edges))
    margin = max((high - low) * 0.05, 0.01)

    def at(value: float) -> float:
        return round(100 * (math.log(value) - low + margin) / (high - low + 2 * margin), 2)

    return [
        Whisker(c, at(ratio.low), at(ratio.median), at(ratio.high), at(1.0), at(1 / floor), at(floor))
        for c, ratio, floor in measured
    ]


def bars(variants: Iterable[VariantResult]) -> list[Bar]:
    """Return the bars of the variants that have times."""
    timed = [v for v in variants if v.seconds is not None and v.stages]
    longest = max((v.seconds or 0.0 for v in timed), default=1.0) or 1.0
    return [Bar(v, tuple(_parts(v, longest))) for v in timed]


def _parts(result: VariantResult, longest: float) -> Iterable[tuple[str, int, float, float]]:
    seconds = dict(result.stages)
    seconds[REST] = max((result.seconds or 0.0) - sum(seconds[part] for part in PARTS[:-1]), 0.0)
    for part in PARTS:
        yield part, TONES[part], seconds[part], 100 * seconds[part] / longest


def engine_styles(results: Results) -> dict[str, LabelStyle]:
    """Return the colour and marker of each engine."""
    engines = dict.fromkeys(v.variant.engine for v in results.variants)
    return {engine: style_of(number * 8) for number, engine in enumerate(engines)}  # every 8th differs in both


def line_styles(results: Results, axis: str) -> dict[int, str]:
    """Return the line style for each number of `slots` or `images`."""
    numbers = sorted({getattr(v.variant, axis) for v in results.variants})
    return {number: LINE_STYLES[i % len(LINE_STYLES)] for i, number in enumerate(numbers)}


def line_style_caption(results: Results, axis: str) -> str:
    """Return a sentence that explains the line styles; empty if there is only one."""
    styles = line_styles(results, axis)
    if len(styles) == 1:
        return ""
    return " Lines: " + ", ".join(f"{style} {number:,} {axis}" for number, style in styles.items()) + "."


def scaling(results: Results) -> Plot | None:
    """Draw the speed-up from more slots, each engine against itself; return None with a single number of slots."""
    from bokeh.models import FixedTicker

    found = [c for c in results.comparisons if c.subject.slots != c.baseline.slots and c.ratio is not None]
    if not found:
        return None
    plot = plot_of("Slots", "Times faster", height=320)
    least, most = min(c.baseline.slots for c in found), max(c.subject.slots for c in found)
    plot.line([least, most], [1, most / least], line_width=1, name="muted")
    styles = line_styles(results, "images")
    for baseline, curve in _curves(found).items():
        xs = [baseline.slots, *(c.subject.slots for c in curve)]
        ys = [1.0, *(1 / c.ratio.median for c in curve if c.ratio)]
        _draw(plot, xs, ys, engine_styles(results)[baseline.engine], styles[baseline.images])
    plot.xaxis.ticker = FixedTicker(ticks=sorted({n for c in found for n in (c.subject.slots, c.baseline.slots)}))
    return plot


def growth(results: Results, quantity: str) -> Plot | None:
    """Draw every run's `seconds` or `peak_mb` over its images, with the fitted lines; return None if there are none."""
    from bokeh.models import NumeralTickFormatter

    if not results.growth:
        return None
    label = {"seconds": "Process, seconds", "peak_mb": "Peak memory, MB"}[quantity]
    plot, styles = plot_of("Images", label, height=320), line_styles(results, "slots")
    plot.xaxis.formatter = plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    plot.xaxis.ticker.desired_num_ticks = 4  # numbers do not overlap on a phone
    for line in results.growth:
        style = engine_styles(results)[line.engine]
        runs = [
            s for s in results.samples if s.kind in ("timed", "twin") and s.outcome == "ok" and _is_of(line, s.variant)
        ]
        dots = plot.scatter(
            [s.variant.images for s in runs], [getattr(s, quantity) for s in runs], marker=style.shape, size=9
        )
        dots.name = f"tone-{style.tone}"
        dots.glyph.fill_alpha = 0.6
        ends, fitted = [min(line.images), max(line.images)], getattr(line, quantity)
        plot.line(
            ends, [fitted.at(x) for x in ends], line_width=2, line_dash=styles[line.slots], name=f"tone-{style.tone}"
        )
    return plot


def _curves(found: Iterable[ComparisonResult]) -> dict[Variant, list[ComparisonResult]]:
    """Group comparisons by baseline, each group in order of slots."""
    curves: dict[Variant, list[ComparisonResult]] = {}
    for comparison in sorted(found, key=lambda c: c.subject):
        curves.setdefault(comparison.baseline, []).append(comparison)
    return curves


def _draw(plot: Any, xs: Sequence[float], ys: Sequence[float], style: LabelStyle, dash: str) -> None:  # noqa: ANN401  untyped
    plot.line(xs, ys, line_width=2, line_dash=dash, name=f"tone-{style.tone}")
    plot.scatter(xs, ys, marker=style.shape, size=10, name=f"tone-{style.tone}")


def _is_of(line: ScalingFit, variant: Variant) -> bool:
    return (line.engine, line.slots, line.precision) == (variant.engine, variant.slots, variant.precision)
