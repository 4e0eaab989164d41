"""Run a whole benchmark: link photos, run references and warm-ups, then rounds until the intervals are narrow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fruitscale.bench import bench_environment, photo_sets, round_statistics
from fruitscale.bench.bench_plan import BenchPlan, RoundEntry, Variant, make_plan, order_of
from fruitscale.bench.bench_statistics import MIN_PAIRS, is_settled
from fruitscale.bench.measure import BenchSetup, Kind, Measurement, check, measure
from fruitscale.bench.photo_sets import PhotoFolder
from fruitscale.bench.results import Results, make_results, ratio_of
from fruitscale.bench.trial_forecast import TrialForecast
from fruitscale.config.schema import Config
from fruitscale.engines import registry
from fruitscale.storage.scratch import ScratchFolder

MAX_FAILURES = 1
"""A variant that fails more often is not run again."""


def run_bench(config: Config, log: Callable[[str], None] = lambda line: None) -> Results:
    """Measure the variants of `config.bench`; `log` is called with one line per run.

    Failing runs are part of the results. Raises InputError or UsageError if there are no photos or they are on S3,
    MissingExtraError without pytest-benchmark.
    """
    round_statistics.check_installed()
    started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    plan = make_plan(config.bench, registry.slots(config))
    with ScratchFolder("bench") as work:
        photos = link_all(config, plan, work)
        folders = {count: str(linked.folder) for count, linked in photos.items()}
        setup = BenchSetup(config, folders, work, work / "cache")
        samples = Trial(plan, setup, log).run()
    return make_results(
        plan,
        samples,
        started=started,
        compare=config.bench.compare,
        environment=bench_environment.read_environment(config),
        notes=[linked.note for linked in photos.values() if linked.note],
        price=config.bench.price_per_core_hour,
    )


def link_all(config: Config, plan: BenchPlan, work: Path) -> dict[int, PhotoFolder]:
    """Link photos into one folder for each number of images in the plan."""
    paths = photo_sets.list_paths(config.input)
    counts = sorted({variant.images for variant in plan.variants})
    return {n: photo_sets.link_photos(config.input.uri, paths, n, work / f"photos-{n}") for n in counts}


@dataclass
class Trial:
    """Runs a plan, one process at a time."""

    plan: BenchPlan
    setup: BenchSetup
    log: Callable[[str], None]
    measure: Callable[[BenchSetup, Variant, Kind, int], Measurement] = measure
    references: dict[tuple[int, str], Measurement] = field(default_factory=dict)
    forecast: TrialForecast = field(init=False)

    def __post_init__(self) -> None:
        self.forecast = TrialForecast(self.plan)

    def run(self) -> list[Measurement]:
        """Run everything and return the samples: references, cold starts, warm-ups and rounds."""
        self.log(self.forecast.announcement)
        for variant in self.plan.references:
            self.references[variant.images, variant.precision] = self._run_once(variant, "reference")
        samples = [*self.references.values(), *self._first_runs()]
        for number in range(1, self.plan.repeats + 1):
            entries = next_round(self.plan, samples, self.setup.config.bench.compare)
            if not entries:
                break
            self.forecast.begin_round(number, entries)
            for entry in order_of(entries, self.plan.seed, number):
                samples.append(self._run_once(entry.variant, "twin" if entry.twin else "timed", number))
        return samples

    def _first_runs(self) -> list[Measurement]:
        """Run each variant once as a warm-up; an engine's first run is its cold start, reported separately."""
        started = set[str]()
        samples = []
        for variant in self.plan.variants:
            kind: Kind = "warm-up" if variant.engine in started else "cold"
            started.add(variant.engine)
            samples.append(self._run_once(variant, kind))
        return samples

    def _run_once(self, variant: Variant, kind: Kind, number: int = 0) -> Measurement:
        sample = self.measure(self.setup, variant, kind, number)
        if kind != "reference":
            sample = check(sample, self.references[variant.images, variant.precision])
        stage = f"round {number}" if number else kind
        outcome = f"{sample.seconds:.2f} s" if sample.seconds is not None else f"{sample.outcome}: {sample.message}"
        again = " again" if kind == "twin" else ""
        where = self.forecast.add(variant, sample.seconds)
        self.log(f"{where} ({stage}, {self.forecast.words.name(variant)}{again}): {outcome}{self.forecast.left}")
        return sample


def next_round(plan: BenchPlan, samples: Sequence[Measurement], compare: str) -> list[RoundEntry]:
    """Return the entries of the next round.

    Both sides of each comparison still undecided, and variants without a partner until they have the minimum number of
    runs.
    """
    entries = dict.fromkeys(RoundEntry(v) for v in plan.variants if lacks_runs(v, plan, samples))
    for comparison in plan.comparisons:
        both = (comparison.subject, comparison.baseline)
        if any(has_failed(entry.variant, samples) for entry in both):
            continue
        if not is_settled(ratio_of(comparison, samples, compare, plan.seed), plan.repeats):
            entries |= dict.fromkeys(both)
    return list(entries)


def lacks_runs(variant: Variant, plan: BenchPlan, samples: Sequence[Measurement]) -> bool:
    """Return True if a variant that works has fewer timed runs than the minimum number of pairs."""
    runs = sum(s.variant == variant and s.kind == "timed" for s in samples)
    return runs < min(MIN_PAIRS, plan.repeats) and not has_failed(variant, samples)


def has_failed(variant: Variant, samples: Sequence[Measurement]) -> bool:
    """Return True if a variant is not run again: its first run failed, or more than MAX_FAILURES of all its runs."""
    outcomes = [(s.kind, s.outcome) for s in samples if s.variant == variant and s.kind != "reference"]
    first = any(kind in ("cold", "warm-up") and outcome != "ok" for kind, outcome in outcomes)
    return first or sum(outcome != "ok" for _, outcome in outcomes) > MAX_FAILURES
