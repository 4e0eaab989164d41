"""The variants, the comparisons, and the order of runs."""

from __future__ import annotations

from collections import Counter

import pytest

from fruitscale.bench.bench_plan import RoundEntry, Variant, make_plan, order_of
from fruitscale.config.loading import load
from fruitscale.config.schema import Bench

GRID = Bench(engines=("local", "spark", "dask"), slots=(1, "auto"), images=(1000, 5000), precisions=("f32", "bf16"))
PLAN = make_plan(GRID, cores=2)


def test_every_choice_is_a_variant() -> None:
    assert len(PLAN.variants) == len(set(PLAN.variants)) == 3 * 2 * 2 * 2
    assert {variant.slots for variant in PLAN.variants} == {1, 2}
    assert len({variant.name for variant in PLAN.variants}) == len(PLAN.variants)


def test_duplicates_are_one_variant() -> None:
    assert len(make_plan(Bench(engines=("local", "local"), slots=(2, "auto")), cores=2).variants) == 1


def test_a_pair_differs_in_one_thing() -> None:
    for comparison in PLAN.comparisons:
        one, other = comparison.subject.variant, comparison.baseline.variant
        differing = [
            key for key in ("engine", "slots", "images", "precision") if getattr(one, key) != getattr(other, key)
        ]
        assert len(differing) == (0 if comparison.is_floor else 1)
        assert one.images == other.images


def test_engines_are_compared_at_the_same_slots() -> None:
    pairs = [(c.subject.variant.name, c.baseline.variant.name) for c in PLAN.comparisons]
    assert ("spark-2x1000-f32", "local-2x1000-f32") in pairs
    assert ("spark-2x1000-f32", "spark-1x1000-f32") in pairs
    assert ("spark-2x1000-bf16", "spark-2x1000-f32") in pairs


def test_each_number_of_images_has_its_floor() -> None:
    floors = [c for c in PLAN.comparisons if c.is_floor]
    assert [c.subject.variant for c in floors] == [c.baseline.variant for c in floors]
    assert {c.subject.variant.images for c in floors} == {1000, 5000}
    for comparison in PLAN.comparisons:
        assert PLAN.floor_of(comparison).subject.variant.images == comparison.subject.variant.images


def test_a_single_variant_has_its_floor_only() -> None:
    plan = make_plan(Bench(engines=("dask",)), cores=2)
    assert plan.entries == (RoundEntry(plan.variants[0]), RoundEntry(plan.variants[0], twin=True))


def test_there_is_one_reference_per_images_and_precision() -> None:
    assert {(v.engine, v.slots, v.images, v.precision) for v in PLAN.references} == {
        ("local", 2, images, precision) for images in (1000, 5000) for precision in ("f32", "bf16")
    }
    assert {v.engine for v in make_plan(Bench(reference="dask"), 1).references} == {"dask"}


def test_a_round_has_every_entry_once_in_an_order_of_its_own() -> None:
    orders = [order_of(PLAN.entries, seed=3, round_number=n) for n in range(1, 9)]
    assert all(Counter(order) == Counter(PLAN.entries) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)


def test_the_order_depends_on_the_seed() -> None:
    assert order_of(PLAN.entries, 3, 1) == order_of(PLAN.entries[::-1], 3, 1)
    assert order_of(PLAN.entries, 3, 1) != order_of(PLAN.entries, 4, 1)


def test_each_side_of_a_pair_comes_first_about_equally_often() -> None:
    """Otherwise heat or other load would always affect the same one."""
    one, other = (RoundEntry(Variant(engine, 2, 1000, "f32")) for engine in ("local", "spark"))
    first = sum(order_of([one, other], 0, n)[0] == one for n in range(200))
    assert 80 <= first <= 120


@pytest.mark.parametrize("value", ["bench.engines=[]", "bench.slots=[]", "bench.images=[0]", "bench.repeats=0"])
def test_nothing_to_measure_is_refused(value: str) -> None:
    with pytest.raises(Exception, match=r"bench\."):
        load(None, [value])
