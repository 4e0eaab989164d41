"""The plan of a benchmark: its variants, the comparisons between them, and the order of runs in a round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from fruitscale.config.schema import Bench


@dataclass(frozen=True, order=True)
class Variant:
    """One combination of engine, slots, number of images and precision."""

    engine: str
    slots: int
    images: int
    precision: str

    @property
    def name(self) -> str:
        """Return a short unique name, such as spark-2x1000-f32."""
        return f"{self.engine}-{self.slots}x{self.images}-{self.precision}"


@dataclass(frozen=True, order=True)
class RoundEntry:
    """One run of a round: a variant, or its twin, a second run of the same variant for the noise floor."""

    variant: Variant
    twin: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two entries of a round whose times form a pair."""

    subject: RoundEntry
    baseline: RoundEntry

    @property
    def is_floor(self) -> bool:
        """Return True if this compares a variant with itself (an A/A comparison)."""
        return self.subject.twin


@dataclass(frozen=True)
class BenchPlan:
    """Everything to measure."""

    variants: tuple[Variant, ...]
    comparisons: tuple[Comparison, ...]
    reference: str
    seed: int
    repeats: int

    @property
    def entries(self) -> tuple[RoundEntry, ...]:
        """Return all entries of a round: each variant, and the twins."""
        twins = tuple(c.subject for c in self.comparisons if c.is_floor)
        return (*map(RoundEntry, self.variants), *twins)

    @property
    def references(self) -> tuple[Variant, ...]:
        """Return the runs that give the expected results: one for each number of images and precision."""
        most = max(variant.slots for variant in self.variants)
        kinds = dict.fromkeys((variant.images, variant.precision) for variant in self.variants)
        return tuple(Variant(self.reference, most, images, precision) for images, precision in kinds)

    def floor_of(self, comparison: Comparison) -> Comparison:
        """Return the A/A comparison that measures a comparison's noise: the one with the same number of images."""
        images = comparison.subject.variant.images
        return next(c for c in self.comparisons if c.is_floor and c.subject.variant.images == images)


def make_plan(bench: Bench, cores: int) -> BenchPlan:
    """Return the plan of a configuration; `auto` slots become `cores`."""
    slots = tuple(dict.fromkeys(cores if n == "auto" else n for n in bench.slots))
    axes = (dict.fromkeys(bench.engines), slots, dict.fromkeys(bench.images), dict.fromkeys(bench.precisions))
    variants = tuple(Variant(*choice) for choice in product(*axes))
    comparisons = tuple(_comparisons(variants))
    return BenchPlan(variants, comparisons, bench.reference, bench.seed, bench.repeats)


def _comparisons(variants: Sequence[Variant]) -> Iterable[Comparison]:
    """Yield the A/A comparison of each number of images, then each variant against the first value of one axis.

    Engines are compared at the same slots; slots (strong scaling) and precisions on the same engine. Numbers of images
    are not compared: a line is fitted to them.
    """
    first = variants[0]
    for images in dict.fromkeys(variant.images for variant in variants):
        baseline = Variant(first.engine, first.slots, images, first.precision)
        yield Comparison(RoundEntry(baseline, twin=True), RoundEntry(baseline))
    for v in variants:
        if v.engine != first.engine:
            yield Comparison(RoundEntry(v), RoundEntry(Variant(first.engine, v.slots, v.images, v.precision)))
        if v.slots != first.slots:
            yield Comparison(RoundEntry(v), RoundEntry(Variant(v.engine, first.slots, v.images, v.precision)))
        if v.precision != first.precision:
            yield Comparison(RoundEntry(v), RoundEntry(Variant(v.engine, v.slots, v.images, first.precision)))


def order_of(entries: Sequence[RoundEntry], seed: int, round_number: int) -> list[RoundEntry]:
    """Return the entries of a round in a random order that depends only on the seed and the round.

    Each round has every entry once, so what changes with time (heat, other load) affects all of them alike.
    """
    shuffled = np.random.default_rng((seed, round_number)).permutation(len(entries))
    ordered = sorted(entries)
    return [ordered[i] for i in shuffled]
