"""What a benchmark shows, in sentences: which engine is faster, from which number of photos on, and what each costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from fruitscale.bench.bench_plan import Comparison, RoundEntry, Variant
from fruitscale.bench.bench_statistics import MIN_PAIRS, Ratio, verdict
from fruitscale.bench.crossover import Crossover, Runs, cross
from fruitscale.bench.recovery import Recovery
from fruitscale.bench.results import MILLION, Results, ScalingFit, ratio_of
from fruitscale.bench.variant_words import listed, title
from fruitscale.display.formatting import counted, rough_number, seconds

GOOD_FIT = 0.95
"""R² of a line that may be extrapolated without a caveat."""
FAR = 10
"""A crossover beyond this multiple of the most photos measured is an order of magnitude."""


def conclude(results: Results, recovery: Sequence[Recovery] = ()) -> list[str]:
    """Return the sentences of a benchmark, the verdict first."""
    sentences = [*_choice(results), *_faster(results), *_crossovers(results), *_costs(results)]
    sentences += [lost_machine(found) for found in recovery]
    return [sentence[0].upper() + sentence[1:] for sentence in sentences]


def lost_machine(found: Recovery) -> str:
    """Return what losing one of two workers halfway costs an engine."""
    engine, photos = title(found.engine), counted(found.images, "photo")
    if found.failure:
        return f"What a lost worker costs {engine} could not be measured: {found.failure.rstrip('.')}."
    assert found.undisturbed_seconds is not None and found.disturbed_seconds is not None
    assert found.capacity_seconds is not None and found.lost_seconds is not None and found.remade_images is not None
    rest = f"about {seconds(found.capacity_seconds)} because one worker does the rest, which no engine avoids"
    own = found.lost_seconds - found.capacity_seconds
    why = f"{rest}, and {seconds(own)} to notice and to do work again" if own > 0 else f"no more than {rest}"
    same = "the result is the same" if found.same_answer else "THE RESULT DIFFERS"
    return (
        f"Losing one of two workers halfway through {photos} costs {engine} {seconds(max(found.lost_seconds, 0))} "
        f"({seconds(found.disturbed_seconds)} instead of {seconds(found.undisturbed_seconds)}), {why}. "
        f"{counted(found.remade_images, 'photo') if found.remade_images else 'No photo'} "
        f"{'was' if found.remade_images < 2 else 'were'} computed twice, and {same}."
    )


def _choice(results: Results) -> Iterator[str]:
    """Yield the verdict: the fastest engines at the largest number of photos."""
    timed = [v for v in _comparable(results) if _seconds(results, v) is not None]
    if len(timed) < 2:
        return
    most = max(v.images for v in timed)
    at_most = sorted((v for v in timed if v.images == most), key=lambda v: _seconds(results, v) or 0.0)
    fastest, *rest = at_most
    equal = [v for v in rest if _verdict(results, v, fastest) in ("no difference", None)]
    where = f"For {counted(most, 'photo')} on this machine"
    unsure = any(_verdict(results, v, fastest) is None for v in rest)
    if unsure:
        names = [f"{title(v.engine)} {seconds(_seconds(results, v) or 0.0)}" for v in at_most]
        yield f"{where}, too few pairs were run for a verdict; the medians are {listed(names)}."
    elif equal:
        yield f"{where}, {listed([title(v.engine) for v in (fastest, *equal)])} are equally fast."
    else:
        yield f"{where}, choose {title(fastest.engine)}: it is the fastest."
    if not results.failed:
        engines = [title(v.engine) for v in at_most]
        yield f"{listed(engines)} gave the same features, so the engine can be changed later without recomputing anything."


def _faster(results: Results) -> Iterator[str]:
    for images in sorted({v.images for v in _comparable(results)}):
        variants = [v for v in _comparable(results) if v.images == images]
        ratios, found = list[Ratio](), list[str]()
        for baseline, subject in combinations(variants, 2):
            if (ratio := _ratio(results, subject, baseline)) is not None:
                ratios.append(ratio)
                found.append(_compared(results, subject, baseline, ratio))
        if found:
            few = min(ratio.pairs for ratio in ratios)
            pairs = f", in {counted(few, 'pair')}, too few for a verdict" if few < MIN_PAIRS else ""
            yield f"{counted(images, 'photo')}{pairs}: {'; '.join(found)}."


def _compared(results: Results, subject: Variant, baseline: Variant, ratio: Ratio) -> str:
    one, other = title(subject.engine), title(baseline.engine)
    more, apart = ratio.median > 1, abs(ratio.median - 1)
    edges = sorted(abs(edge - 1) for edge in (ratio.low, ratio.high))
    change = f"{one} takes {apart:.0%} {'more' if more else 'less'} time than {other}"
    known = _verdict(results, subject, baseline)
    if known is None:
        return change
    if known == "no difference":
        floor = _floor(results, subject.images) or 0.0
        return (
            f"no difference between {one} and {other} can be shown (ratio {ratio.low:.2f} to {ratio.high:.2f}; "
            f"identical runs differ by up to {floor:.0%})"
        )
    return f"{change} (95 %: {edges[0]:.0%} to {edges[1]:.0%})"


def _crossovers(results: Results) -> Iterator[str]:
    lines = _lines(results)
    if len(lines) > 1 and any(_fewest_runs(_runs(results, line)) < MIN_PAIRS for line in lines):
        yield f"From which number of photos on another engine is faster takes {MIN_PAIRS} runs of each, or more, to see."
        return
    for one, other in combinations(lines, 2):
        found = cross(_runs(results, one), _runs(results, other), results.seed)
        if found is not None:
            yield _crossing(title(one.engine), title(other.engine), found, max(one.images))


def _fewest_runs(runs: Runs) -> int:
    return min(Counter(runs.photos).values())


def _crossing(one: str, other: str, found: Crossover, most: int) -> str:
    """Return the sentence on two lines; `found` has the differences `other` - `one`."""
    start, per_photo = found.start, found.per_photo
    sooner, later = (one, other) if start.value > 0 else (other, one)
    quicker, slower = (one, other) if per_photo.value > 0 else (other, one)
    gap, each = seconds(abs(start.value)), f"{abs(per_photo.value) * 1000:.2g} ms"
    if found.photos is not None:
        low, at, high = (rough_number(n) for n in (found.photos.low, found.photos.value, found.photos.high))
        far = f" That is far beyond the {most:,} photos measured: read it as an order of magnitude."
        return (
            f"{sooner} starts {gap} sooner and {later} needs {each} less per photo, so from about {at} photos on "
            f"(95 %: {low} to {high}) {later} is faster.{far if found.photos.value > FAR * most else ''}"
        )
    if start.sign and not per_photo.sign:
        return (
            f"{sooner} starts {gap} sooner than {later}; their time per photo does not differ measurably, so these runs "
            "show no number of photos from which that is made up."
        )
    if per_photo.sign and not start.sign:
        return f"{quicker} needs {each} less per photo than {slower} and starts as fast: no number of photos favours {slower}."
    if per_photo.sign:
        return f"{quicker} starts {gap} sooner than {slower} and needs {each} less per photo: it is faster at every number."
    return f"{one} and {other} do not differ measurably at any number of photos."


def _costs(results: Results) -> Iterator[str]:
    lines = [line for line in _lines(results) if line.seconds.slope > 0]
    if not lines:
        return
    costs = [_cost(line, _price(results, line)) for line in lines]
    worst = min(line.seconds.r_squared for line in lines)
    rough = f" The lines fit badly (R² {worst:.2f}), so this is rough." if worst < GOOD_FIT else ""
    yield f"A million photos take, by the fitted lines, {listed(costs)}.{rough}"


def _cost(line: ScalingFit, price: float | None) -> str:
    hours = line.seconds.at(MILLION) / 3600
    money = "" if price is None else f", {price:,.2f} at the price per core and hour"
    return f"{title(line.engine)} {hours * line.slots:,.1f} core hours ({hours:,.1f} h on {line.slots}{money})"


def _price(results: Results, line: ScalingFit) -> float | None:
    alike = (found for found in results.variants if found.variant.engine == line.engine)
    return next((v.cost_per_million for v in alike if v.variant.slots == line.slots), None)


def _comparable(results: Results) -> list[Variant]:
    """Return the variants with the first number of slots and the first precision."""
    first = results.variants[0].variant
    every = [found.variant for found in results.variants]
    return [v for v in every if (v.slots, v.precision) == (first.slots, first.precision)]


def _lines(results: Results) -> list[ScalingFit]:
    first = results.variants[0].variant
    return [line for line in results.growth if (line.slots, line.precision) == (first.slots, first.precision)]


def _runs(results: Results, line: ScalingFit) -> Runs:
    own = [
        (float(s.variant.images), s.seconds)
        for s in results.samples
        if s.kind in ("timed", "twin") and s.seconds is not None
        and (s.variant.engine, s.variant.slots, s.variant.precision) == (line.engine, line.slots, line.precision)
    ]  # fmt: skip
    return Runs([photos for photos, _ in own], [taken for _, taken in own])


def _seconds(results: Results, variant: Variant) -> float | None:
    return next(found.seconds for found in results.variants if found.variant == variant)


def _ratio(results: Results, subject: Variant, baseline: Variant) -> Ratio | None:
    pair = Comparison(RoundEntry(subject), RoundEntry(baseline))
    return ratio_of(pair, results.samples, results.compare, results.seed)


def _floor(results: Results, images: int) -> float | None:
    return next((found.floor for found in results.floors if found.subject.images == images), None)


def _verdict(results: Results, subject: Variant, baseline: Variant) -> str | None:
    ratio, floor = _ratio(results, subject, baseline), _floor(results, subject.images)
    if ratio is None or floor is None or ratio.pairs < MIN_PAIRS:
        return None
    return verdict(ratio, floor)
