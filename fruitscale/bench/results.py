"""The results of a benchmark, computed from its samples, and their JSON, which `pytest-benchmark compare` can read."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fruitscale.bench import bench_statistics, round_statistics
from fruitscale.bench.bench_environment import BenchEnvironment
from fruitscale.bench.bench_plan import BenchPlan, Comparison, RoundEntry, Variant
from fruitscale.bench.bench_statistics import LineFit, Ratio, Verdict
from fruitscale.bench.measure import STAGES, Measurement
from fruitscale.errors import InputError

MILLION = 1_000_000


@dataclass(frozen=True)
class VariantResult:
    """The medians of a variant's timed runs (`peak_mb`: the maximum of all runs), and the reasons of its failures."""

    variant: Variant
    runs: int
    seconds: float | None
    stages: Mapping[str, float]
    images_per_second: float | None
    images_per_second_per_slot: float | None
    cpu_seconds: float | None
    peak_mb: float
    components: int | None
    retained_variance: float | None
    cost_per_million: float | None
    failures: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonResult:
    """The ratio of seconds, subject / baseline. `floor` is the noise floor; `verdict` is None with too few pairs."""

    subject: Variant
    baseline: Variant
    ratio: Ratio | None
    floor: float | None
    verdict: Verdict | None


@dataclass(frozen=True)
class ScalingFit:
    """Straight lines over the number of images: process seconds, and peak MB of the process tree."""

    engine: str
    slots: int
    precision: str
    images: tuple[int, ...]
    seconds: LineFit
    peak_mb: LineFit


@dataclass(frozen=True)
class Results:
    """All results. `floors` are the A/A comparisons; `compare` is the compared time: `process` or a stage."""

    started: str
    compare: str
    seed: int
    environment: BenchEnvironment
    notes: tuple[str, ...]
    variants: tuple[VariantResult, ...]
    comparisons: tuple[ComparisonResult, ...]
    floors: tuple[ComparisonResult, ...]
    growth: tuple[ScalingFit, ...]
    samples: tuple[Measurement, ...]

    @property
    def cold(self) -> tuple[Measurement, ...]:
        """Return the first run of each engine, which exports the model too."""
        return tuple(sample for sample in self.samples if sample.kind == "cold")

    @property
    def failed(self) -> tuple[Measurement, ...]:
        """Return the runs that failed or gave a wrong result."""
        return tuple(sample for sample in self.samples if sample.outcome != "ok")


@dataclass(frozen=True)
class _Document:
    fruitscale: Results


def make_results(
    plan: BenchPlan, samples: Sequence[Measurement], *, started: str, compare: str, environment: BenchEnvironment,
    notes: Iterable[str] = (), price: float | None = None,
) -> Results:  # fmt: skip
    """Return the results of a plan's samples; `price` is per core and hour."""
    growth = tuple(_growth(plan.variants, samples))
    ratios = {c: ratio_of(c, samples, compare, plan.seed) for c in plan.comparisons}
    return Results(
        started=started,
        compare=compare,
        seed=plan.seed,
        environment=environment,
        notes=tuple(notes),
        variants=tuple(_variant(v, samples, growth, price) for v in plan.variants),
        comparisons=tuple(_comparison(c, ratios, plan) for c in plan.comparisons if not c.is_floor),
        floors=tuple(_comparison(c, ratios, plan) for c in plan.comparisons if c.is_floor),
        growth=growth,
        samples=tuple(samples),
    )


def ratio_of(comparison: Comparison, samples: Sequence[Measurement], compare: str, seed: int) -> Ratio | None:
    """Return the ratio over the rounds in which both runs are ok; None if there are none."""
    subjects, baselines = (_by_round(e, samples, compare) for e in (comparison.subject, comparison.baseline))
    pairs = [(subjects[n], baselines[n]) for n in sorted(subjects.keys() & baselines.keys())]
    return bench_statistics.ratio_of(pairs, seed) if pairs else None


def cost_per_million(seconds: float, slots: int, price: float) -> float:
    """Return the cost of a million images that take `seconds` on `slots` cores at `price` per core and hour."""
    return seconds / 3600 * slots * price


def to_json(results: Results) -> str:
    """Return the JSON of a benchmark: the layout of pytest-benchmark, and the full results under `fruitscale`."""
    environment = results.environment
    document = {
        "machine_info": {
            "processor": environment.cpu, "machine": platform.machine(), "system": platform.system(),
            "python_version": environment.python, "cpu": {"brand_raw": environment.cpu, "count": environment.cores},
        },
        "commit_info": {"id": environment.commit, "dirty": environment.dirty},
        "benchmarks": [_benchmark(v, results) for v in results.variants if v.seconds is not None],
        "datetime": results.started,
        "version": "5.0.0",
        "fruitscale": asdict(results),
    }  # fmt: skip
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str | bytes) -> Results:
    """Return the results that to_json wrote. Raises InputError for anything else."""
    try:
        return TypeAdapter(_Document).validate_json(text).fruitscale
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"This was not written by fruitscale bench: {where or 'it'}: {first['msg']}.") from None


def _benchmark(found: VariantResult, results: Results) -> dict[str, Any]:
    """Return one entry of pytest-benchmark's `benchmarks` list."""
    variant = found.variant
    seconds = [
        s.compared_seconds(results.compare) for s in results.samples if s.kind == "timed" and s.variant == variant
    ]
    return {
        "group": f"{variant.images} images, {variant.precision}",
        "name": variant.name,
        "fullname": f"fruitscale bench::{variant.name}",
        "params": asdict(variant),
        "param": variant.name,
        "extra_info": {k: v for k, v in asdict(found).items() if k not in ("variant", "runs", "seconds")},
        "options": {"compare": results.compare},
        "stats": round_statistics.summarize([value for value in seconds if value is not None]),
    }


def _by_round(entry: RoundEntry, samples: Sequence[Measurement], compare: str) -> dict[int, float]:
    kind = "twin" if entry.twin else "timed"
    found = ((s.round, s.compared_seconds(compare)) for s in samples if s.kind == kind and s.variant == entry.variant)
    return {number: seconds for number, seconds in found if seconds is not None}


def _comparison(comparison: Comparison, ratios: Mapping[Comparison, Ratio | None], plan: BenchPlan) -> ComparisonResult:
    ratio, self_ratio = ratios[comparison], ratios[plan.floor_of(comparison)]
    floor = None if self_ratio is None else bench_statistics.noise_floor(self_ratio)
    enough = ratio is not None and ratio.pairs >= bench_statistics.MIN_PAIRS
    verdict = bench_statistics.verdict(ratio, floor) if enough and ratio is not None and floor is not None else None
    return ComparisonResult(comparison.subject.variant, comparison.baseline.variant, ratio, floor, verdict)


def _variant(
    v: Variant, samples: Sequence[Measurement], growth: Sequence[ScalingFit], price: float | None
) -> VariantResult:
    own = [s for s in samples if s.variant == v]
    timed = [s for s in own if s.kind == "timed" and s.outcome == "ok"]
    answer = timed[0].answer if timed else None
    seconds = _median(timed, lambda s: s.seconds)
    line = next(
        (g.seconds for g in growth if (g.engine, g.slots, g.precision) == (v.engine, v.slots, v.precision)), None
    )
    cost = None
    if price is not None and seconds is not None:
        grows = line is not None and line.slope > 0  # noise can make the slope negative
        million = line.at(MILLION) if line is not None and grows else seconds * MILLION / v.images
        cost = cost_per_million(million, v.slots, price)
    return VariantResult(
        variant=v,
        runs=len(timed),
        seconds=seconds,
        stages={stage: statistics.median(s.stages[stage] for s in timed) for stage in STAGES} if timed else {},
        images_per_second=_median(timed, lambda s: s.images_per_second),
        images_per_second_per_slot=_median(timed, lambda s: s.images_per_second_per_slot),
        cpu_seconds=_median(timed, lambda s: s.cpu_seconds),
        peak_mb=max((s.peak_mb for s in own), default=0.0),
        components=answer.components if answer else None,
        retained_variance=answer.retained_variance if answer else None,
        cost_per_million=cost,
        failures=tuple(f"{s.kind}: {s.outcome}: {s.message}" for s in own if s.outcome != "ok"),
    )


def _growth(variants: Sequence[Variant], samples: Sequence[Measurement]) -> Iterable[ScalingFit]:
    for engine, slots, precision in dict.fromkeys((v.engine, v.slots, v.precision) for v in variants):
        runs = [
            s
            for s in samples
            if s.kind in ("timed", "twin")
            and s.seconds is not None
            and (s.variant.engine, s.variant.slots, s.variant.precision) == (engine, slots, precision)
        ]
        images = [float(s.variant.images) for s in runs]
        seconds = bench_statistics.fit_line(images, [s.seconds or 0.0 for s in runs]) if runs else None
        memory = bench_statistics.fit_line(images, [s.peak_mb for s in runs]) if runs else None
        if seconds and memory:
            counts = tuple(sorted({s.variant.images for s in runs}))
            yield ScalingFit(engine, slots, precision, counts, seconds, memory)


def _median(samples: Sequence[Measurement], value: Callable[[Measurement], float | None]) -> float | None:
    values = [found for sample in samples if (found := value(sample)) is not None]
    return statistics.median(values) if values else None
