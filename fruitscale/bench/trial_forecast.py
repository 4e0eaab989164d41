"""How far a benchmark is, and how long the rest takes at most."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from fruitscale.bench.bench_plan import BenchPlan, RoundEntry, Variant
from fruitscale.bench.bench_statistics import MIN_PAIRS
from fruitscale.bench.variant_words import VariantWords
from fruitscale.display.formatting import counted, rough_seconds


class TrialForecast:
    """Counts the runs of a trial. The rest is that of all rounds: comparisons that are decided earlier shorten it."""

    def __init__(self, plan: BenchPlan) -> None:
        self.words = VariantWords(plan.variants)
        self._plan = plan
        self._seconds: dict[Variant, float] = {}
        self._left: list[Variant] = [*plan.references, *plan.variants]
        self._later = [entry.variant for entry in plan.entries] * plan.repeats
        self._done = 0

    @property
    def announcement(self) -> str:
        """What the trial runs, in a sentence."""
        plan = self._plan
        first = f"{counted(len(plan.references), 'reference')}, {counted(len(plan.variants), 'warm-up')}"
        rounds = f"{counted(plan.repeats, 'round')} of {counted(len(plan.entries), 'run')}"
        return f"{self._total.capitalize()} runs: {first}, {rounds}"

    def begin_round(self, number: int, entries: Sequence[RoundEntry]) -> None:
        """Take note of what a round runs; the later ones run no more than that."""
        variants = [entry.variant for entry in entries]
        self._left, self._later = variants, variants * (self._plan.repeats - number)

    def add(self, variant: Variant, seconds: float | None) -> str:
        """Count a run that ended, and return which one it was: `run 3 of 9`."""
        self._done += 1
        if seconds is not None:
            self._seconds[variant] = seconds
        if variant in self._left:
            self._left.remove(variant)
        return f"run {self._done} of {self._total}"

    @property
    def left(self) -> str:
        """How long the rest takes, as the end of a sentence; empty at the end, or before a run has ended."""
        rest = [*self._left, *self._later]
        if not rest or not self._seconds:
            return ""
        most = " at most" if self._may_end_early else ""
        return f"; about {rough_seconds(sum(map(self._expected, rest)))} left{most}"

    @property
    def _total(self) -> str:
        total = self._done + len(self._left) + len(self._later)
        return f"at most {total:,}" if self._may_end_early else f"{total:,}"

    @property
    def _may_end_early(self) -> bool:
        return self._plan.repeats > MIN_PAIRS and bool(self._later)

    def _expected(self, variant: Variant) -> float:
        """Return the seconds of a run: its last, that of the most similar one, or the median of all."""
        alike = [taken for known, taken in self._seconds.items() if known.images == variant.images]
        return self._seconds.get(variant) or statistics.median(alike or list(self._seconds.values()))
