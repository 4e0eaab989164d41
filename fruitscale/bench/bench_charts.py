"""The figures of a benchmark's page: curves over slots and over images, and the places of bars on a scale."""

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

DASHES = ("solid", "dashed", "dotted", "dotdash")
REST = "rest of the process"
PARTS = (*(stage for stage in STAGES if stage != "total"), REST)
TONES = {"featurize": 0, "start": 1, "list": 2, "export": 3, "fit": 4, "project": 5, REST: 6}
"""The colour of each part by its number; the first one for what is longest."""


@dataclass(frozen=True)
class Whisker:
    """A comparison on a common scale, in percent of its width: the interval, the median, 1, and the floor's band."""

    compared: ComparisonResult
    low: float
    middle: float
    high: float
    one: float
    floor_low: float
    floor_high: float


@dataclass(frozen=True)
class Bar:
    """A variant's seconds as parts, each with its share of the longest variant's seconds, in percent."""

    found: VariantResult
    parts: tuple[tuple[str, int, float, float], ...]
    """Name, number of its colour, seconds, percent."""


def whiskers(comparisons: Sequence[ComparisonResult]) -> list[Whisker]:
    """Place the comparisons that have a ratio on one logarithmic scale."""
    some = [(c, c.ratio, 1 + (c.floor or 0.0)) for c in comparisons if c.ratio is not None]
    if not some:
        return []
    edges = [1.0, *(edge for _, ratio, floor in some for edge in (ratio.low, ratio.high, floor, 1 / floor))]
    low, high = math.log(min(edges)), math.log(max(edges))
    margin = max((high - low) * 0.05, 0.01)

    def at(value: float) -> float:
        return round(100 * (math.log(value) - low + margin) / (high - low + 2 * margin), 2)

    return [
        Whisker(c, at(ratio.low), at(ratio.median), at(ratio.high), at(1.0), at(1 / floor), at(floor))
        for c, ratio, floor in some
    ]


def bars(variants: Iterable[VariantResult]) -> list[Bar]:
    """Return the stages of the variants that worked."""
    good = [v for v in variants if v.seconds is not None and v.stages]
    longest = max((v.seconds or 0.0 for v in good), default=1.0) or 1.0
    return [Bar(v, tuple(_parts(v, longest))) for v in good]


def _parts(found: VariantResult, longest: float) -> Iterable[tuple[str, int, float, float]]:
    seconds = dict(found.stages)
    seconds[REST] = max((found.seconds or 0.0) - sum(seconds[part] for part in PARTS[:-1]), 0.0)
    for part in PARTS:
        yield part, TONES[part], seconds[part], 100 * seconds[part] / longest


def looks(results: Results) -> dict[str, LabelStyle]:
    """Return the look of each engine."""
    engines = dict.fromkeys(v.variant.engine for v in results.variants)
    return {engine: style_of(number * 8) for number, engine in enumerate(engines)}  # a colour and a shape of its own


def dashes(results: Results, what: str) -> dict[int, str]:
    """Return the dash of a line by its `slots` or `images`."""
    numbers = sorted({getattr(v.variant, what) for v in results.variants})
    return {number: DASHES[at % len(DASHES)] for at, number in enumerate(numbers)}


def dashes_in_words(results: Results, what: str) -> str:
    """Return what the dashes mean, as a sentence; empty where there is one."""
    found = dashes(results, what)
    if len(found) == 1:
        return ""
    return " Lines: " + ", ".join(f"{dash} {number:,} {what}" for number, dash in found.items()) + "."


def scaling(results: Results) -> Plot | None:
    """Draw how many times faster more slots are, each engine against itself; None with one number of slots."""
    from bokeh.models import FixedTicker

    found = [c for c in results.comparisons if c.subject.slots != c.baseline.slots and c.ratio is not None]
    if not found:
        return None
    plot = plot_of("Slots", "Times faster", height=320)
    least, most = min(c.baseline.slots for c in found), max(c.subject.slots for c in found)
    plot.line([least, most], [1, most / least], line_width=1, name="muted")
    dash = dashes(results, "images")
    for lane, curve in _curves(found).items():
        look = looks(results)[lane.engine]
        xs = [lane.slots, *(c.subject.slots for c in curve)]
        ys = [1.0, *(1 / c.ratio.median for c in curve if c.ratio)]
        _draw(plot, xs, ys, look, dash[lane.images])
    plot.xaxis.ticker = FixedTicker(ticks=sorted({n for c in found for n in (c.subject.slots, c.baseline.slots)}))
    return plot


def growth(results: Results, what: str) -> Plot | None:
    """Draw every run's `seconds` or `peak_mb` over its images, with the straight lines; None where none was fitted."""
    from bokeh.models import NumeralTickFormatter

    if not results.growth:
        return None
    label = {"seconds": "Process, seconds", "peak_mb": "Peak memory, MB"}[what]
    plot, dash = plot_of("Images", label, height=320), dashes(results, "slots")
    plot.xaxis.formatter = plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    for line in results.growth:
        look = looks(results)[line.engine]
        good = [
            s for s in results.samples if s.kind in ("timed", "twin") and s.outcome == "ok" and _is_of(line, s.variant)
        ]
        dots = plot.scatter(
            [s.variant.images for s in good], [getattr(s, what) for s in good], marker=look.shape, size=9
        )
        dots.name = f"tone-{look.tone}"
        dots.glyph.fill_alpha = 0.6
        ends, fitted = [min(line.images), max(line.images)], getattr(line, what)
        plot.line(
            ends, [fitted.at(x) for x in ends], line_width=2, line_dash=dash[line.slots], name=f"tone-{look.tone}"
        )
    return plot


def _curves(found: Iterable[ComparisonResult]) -> dict[Variant, list[ComparisonResult]]:
    """Gather comparisons by what they are compared with, by their slots."""
    curves: dict[Variant, list[ComparisonResult]] = {}
    for compared in sorted(found, key=lambda c: c.subject):
        curves.setdefault(compared.baseline, []).append(compared)
    return curves


def _draw(plot: Any, xs: Sequence[float], ys: Sequence[float], look: LabelStyle, dash: str) -> None:  # noqa: ANN401  untyped
    plot.line(xs, ys, line_width=2, line_dash=dash, name=f"tone-{look.tone}")
    plot.scatter(xs, ys, marker=look.shape, size=10, name=f"tone-{look.tone}")


def _is_of(line: ScalingFit, variant: Variant) -> bool:
    return (line.engine, line.slots, line.precision) == (variant.engine, variant.slots, variant.precision)
