"""A whole benchmark: photos, references, warm-up, and rounds until the intervals are narrow."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fruitscale.bench import bench_environment, photo_sets
from fruitscale.bench.bench_plan import BenchPlan, RoundEntry, Variant, make_plan, order_of
from fruitscale.bench.measure import BenchSetup, Kind, Measurement, check, measure
from fruitscale.bench.photo_sets import PhotoFolder
from fruitscale.bench.results import Results, make_results, ratio_of
from fruitscale.bench.statistics import LEAST_PAIRS, is_settled
from fruitscale.config.schema import Config
from fruitscale.engines import registry

FAILURES_ALLOWED = 1
"""A variant that fails more often is not run again."""


def run_bench(config: Config, tell: Callable[[str], None] = lambda line: None) -> Results:
    """Measure what `config.bench` asks for, and return what was found; `tell` gets a line about each run.

    Runs that fail are results. Raises InputError or UsageError where there are no photos, or not on a disk.
    """
    started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    plan = make_plan(config.bench, registry.slots(config))
    with tempfile.TemporaryDirectory(prefix="fruitscale-bench-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        gathered = gather_all(config, plan, work)
        folders = {count: str(found.folder) for count, found in gathered.items()}
        setting = BenchSetup(config, folders, work, work / "cache")
        samples = Trial(plan, setting, tell).run()
    return make_results(
        plan,
        samples,
        started=started,
        compare=config.bench.compare,
        environment=bench_environment.look(config),
        notes=[found.note for found in gathered.values() if found.note],
        price=config.bench.price_per_core_hour,
    )


def gather_all(config: Config, plan: BenchPlan, work: Path) -> dict[int, PhotoFolder]:
    """Make a folder of photos for each number of images in the plan."""
    paths = photo_sets.list_paths(config.input)
    counts = sorted({variant.images for variant in plan.variants})
    return {n: photo_sets.link_photos(config.input.uri, paths, n, work / f"photos-{n}") for n in counts}


@dataclass
class Trial:
    """The runs of a plan, one at a time."""

    plan: BenchPlan
    setting: BenchSetup
    tell: Callable[[str], None]
    measure: Callable[[BenchSetup, Variant, Kind, int], Measurement] = measure
    references: dict[tuple[int, str], Measurement] = field(default_factory=dict)

    def run(self) -> list[Measurement]:
        """Return every sample: references, cold starts, warm-ups, and those of the rounds."""
        for variant in self.plan.references:
            self.references[variant.images, variant.precision] = self._once(variant, "reference")
        samples = [*self.references.values(), *self._first_runs()]
        for number in range(1, self.plan.repeats + 1):
            entries = needed(self.plan, samples, self.setting.config.bench.compare)
            if not entries:
                break
            for entry in order_of(entries, self.plan.seed, number):
                samples.append(self._once(entry.variant, "twin" if entry.twin else "timed", number))
        return samples

    def _first_runs(self) -> list[Measurement]:
        """Run each variant once, untimed; for each engine one of them is a cold start, which is timed apart."""
        started = set[str]()
        samples = []
        for variant in self.plan.variants:
            kind: Kind = "warm-up" if variant.engine in started else "cold"
            started.add(variant.engine)
            samples.append(self._once(variant, kind))
        return samples

    def _once(self, variant: Variant, kind: Kind, number: int = 0) -> Measurement:
        sample = self.measure(self.setting, variant, kind, number)
        if kind != "reference":
            sample = check(sample, self.references[variant.images, variant.precision])
        where = f"round {number}" if number else kind
        found = f"{sample.seconds:.2f} s" if sample.seconds is not None else f"{sample.outcome}: {sample.message}"
        self.tell(f"{where}: {variant.name}{' again' if kind == 'twin' else ''}: {found}")
        return sample


def needed(plan: BenchPlan, samples: Sequence[Measurement], compare: str) -> list[RoundEntry]:
    """Return what the next round runs: both of every comparison that is not settled, and can be.

    And what has no partner left to be compared with, so often as a comparison takes at least.
    """
    wanted = dict.fromkeys(RoundEntry(v) for v in plan.variants if is_too_seldom(v, plan, samples))
    for comparison in plan.comparisons:
        both = (comparison.subject, comparison.baseline)
        if any(has_failed(entry.variant, samples) for entry in both):
            continue
        if not is_settled(ratio_of(comparison, samples, compare, plan.seed), plan.repeats):
            wanted |= dict.fromkeys(both)
    return list(wanted)


def is_too_seldom(variant: Variant, plan: BenchPlan, samples: Sequence[Measurement]) -> bool:
    """Tell whether a variant that works has fewer timed runs than the least number of pairs."""
    runs = sum(s.variant == variant and s.kind == "timed" for s in samples)
    return runs < min(LEAST_PAIRS, plan.repeats) and not has_failed(variant, samples)


def has_failed(variant: Variant, samples: Sequence[Measurement]) -> bool:
    """Tell whether a variant is given up: its first run failed, or more than one after it."""
    outcomes = [(s.kind, s.outcome) for s in samples if s.variant == variant and s.kind != "reference"]
    first = any(kind in ("cold", "warm-up") and outcome != "ok" for kind, outcome in outcomes)
    return first or sum(outcome != "ok" for _, outcome in outcomes) > FAILURES_ALLOWED
