"""What a benchmark says in sentences, checked against lines and times that are known."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from benchmarks.figures import spark_or_dask
from fruitscale.bench import conclusions, result_tables
from fruitscale.bench.bench_page import BenchFiles, read
from fruitscale.bench.bench_plan import BenchPlan, Variant, make_plan
from fruitscale.bench.crossover import Runs, cross
from fruitscale.bench.measure import Measurement
from fruitscale.bench.recovery import Recovery
from fruitscale.bench.results import Results
from fruitscale.bench.trial_forecast import TrialForecast
from fruitscale.bench.variant_words import VariantWords
from fruitscale.cli.bench_command import _rich
from fruitscale.config.schema import Bench
from tests.unit.bench_samples import sample
from tests.unit.test_bench_results import results

SIZES = (500, 2000, 8000)
ENGINES = ("local", "spark", "dask")
PLAN = make_plan(Bench(engines=ENGINES, images=SIZES), cores=2)
LOST = Recovery("spark", 2000, 40.0, 52.0, 12.0, 9.0, 20, 40, 64, 0, 3, same_answer=True)


def found(lines: dict[str, tuple[float, float]], n_rounds: int = 6, spread: float = 0.01) -> Results:
    """Return the results of engines that take `start + each * photos` seconds, with noise."""
    rng, samples = np.random.default_rng(3), list[Measurement]()
    plan = make_plan(Bench(engines=tuple(lines), images=SIZES), cores=2)
    for number in range(1, n_rounds + 1):
        for entry in plan.entries:
            start, each = lines[entry.variant.engine]
            seconds = (start + each * entry.variant.images) * float(np.exp(rng.normal(0, spread)))
            kind = "twin" if entry.twin else "timed"
            samples.append(sample(entry.variant, seconds, round=number, kind=kind))
    return results(samples, plan, price=0.04)


def said(lines: dict[str, tuple[float, float]], **options: float) -> str:
    return "\n".join(conclusions.conclude(found(lines, **options)))  # type: ignore[arg-type]


def test_a_crossover_is_where_the_lines_cross() -> None:
    runs = [Runs(SIZES * 3, [start + each * n for n in SIZES * 3]) for start, each in ((2.0, 0.020), (17.0, 0.015))]
    at = cross(runs[0], runs[1])
    assert at is not None
    assert at.photos is not None
    assert (at.photos.value, at.photos.low, at.photos.high) == pytest.approx((3000, 3000, 3000))


def test_each_engine_is_faster_on_its_side() -> None:
    text = said({"local": (2.0, 0.020), "spark": (17.0, 0.015)})
    assert text.startswith("For 8,000 photos on this machine, choose Spark: it is the fastest.")
    assert "500 photos: Spark takes 104% more time than local (95 %:" in text
    assert "Local starts" in text
    assert "photos on (95 %: " in text
    assert "Spark is faster." in text


def test_lines_that_are_parallel_have_no_crossover() -> None:
    text = said({"local": (2.0, 0.02), "spark": (9.0, 0.02)}, spread=0.003)
    assert "their time per photo does not differ measurably" in text
    assert "is faster." not in text


def test_one_engine_can_be_faster_everywhere_or_the_same() -> None:
    assert "it is faster at every number" in said({"local": (2.0, 0.02), "dask": (5.0, 0.03)})
    same = said({"local": (2.0, 0.02), "dask": (2.0, 0.02)}, spread=0.02)
    assert "and Dask are equally fast" in same or "Dask and local are equally fast" in same
    assert "no difference between Dask and local can be shown" in same
    assert "do not differ measurably at any number" in same


def test_a_crossover_far_away_is_an_order_of_magnitude() -> None:
    assert "order of magnitude" in said({"local": (2.0, 0.0201), "spark": (40.0, 0.0200)}, spread=0.00001)


def test_too_few_pairs_give_no_verdict() -> None:
    text = said({"local": (2.0, 0.02), "spark": (9.0, 0.02)}, n_rounds=2)
    assert "too few pairs were run for a verdict" in text
    assert "500 photos, in 2 pairs, too few for a verdict: Spark takes" in text
    assert "takes 5 runs of each, or more, to see" in text
    assert "is faster." not in text


def test_a_million_photos_cost_what_the_line_says() -> None:
    hours = (2.0 + 0.02 * 1e6) / 3600
    text = said({"local": (2.0, 0.02), "spark": (9.0, 0.02)}, spread=0.0)
    assert f"local {hours * 2:.1f} core hours ({hours:.1f} h on 2, {hours * 2 * 0.04:.2f} at the price" in text


def test_a_line_that_fits_badly_is_rough() -> None:
    assert "The lines fit badly (R² 0." in said({"local": (20.0, 0.0005), "spark": (20.0, 0.0005)}, spread=0.3)
    assert "fit badly" not in said({"local": (2.0, 0.02), "spark": (9.0, 0.02)})


def test_a_lost_machine() -> None:
    assert conclusions.lost_machine(LOST) == (
        "Losing one of two workers halfway through 2,000 photos costs Spark 12.0 s (52.0 s instead of 40.0 s), about "
        "9.00 s because one worker does the rest, which no engine avoids, and 3.00 s to notice and to do work again. "
        "64 photos were computed twice, and the result is the same."
    )
    assert "costs Spark 5.00 s (45.0 s instead of 40.0 s), no more than about 9.00 s" in conclusions.lost_machine(
        replace(LOST, disturbed_seconds=45.0, lost_seconds=5.0)
    )
    assert "could not be measured: no Java." in conclusions.lost_machine(Recovery("spark", 10, failure="no Java."))


def test_variants_are_named_by_what_differs() -> None:
    words = VariantWords(PLAN.variants)
    one, other = Variant("spark", 2, 2000, "f32"), Variant("local", 2, 2000, "f32")
    assert (words.name(one), words.pair(one, other)) == ("Spark, 2,000 photos", "Spark / local, 2,000 photos")
    assert words.shared == "2 slots, f32"
    slots = VariantWords((one, replace(one, slots=1)))
    assert slots.pair(one, replace(one, slots=1)) == "Spark: 2 slots / 1 slot"


def test_the_tables_fit_80_columns() -> None:
    rows = [*result_tables.tables(found(dict.fromkeys(ENGINES, (2.0, 0.2)))), result_tables.recovery_rows([LOST, LOST])]
    for table in rows:
        console = Console(width=80, file=(shown := io.StringIO()))
        console.print(_rich(table))
        lines = shown.getvalue().splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) <= len(table.rows) + 4, table.title  # headings may take three lines, rows one
        for word in " ".join(table.headings).split():
            assert any(word in line for line in lines), (table.title, word)


def trial(repeats: int) -> tuple[BenchPlan, TrialForecast]:
    plan = make_plan(Bench(engines=("local", "spark"), images=(500,), repeats=repeats), cores=2)
    return plan, TrialForecast(plan)


def test_a_trial_counts_its_runs_down() -> None:
    plan, forecast = trial(2)
    total = 1 + 2 + 2 * 3
    assert forecast.announcement == "9 runs: 1 reference, 2 warm-ups, 2 rounds of 3 runs"
    first = [*plan.references, *plan.variants]
    assert [forecast.add(v, 10.0) for v in first] == [f"run {n} of {total}" for n in (1, 2, 3)]
    assert forecast.left == "; about 60 s left"
    for number in (1, 2):
        forecast.begin_round(number, plan.entries)
        for entry in plan.entries:
            text = forecast.add(entry.variant, 10.0)
    assert (text, forecast.left) == ("run 9 of 9", "")


def test_a_trial_may_end_early() -> None:
    plan, forecast = trial(20)
    assert forecast.add(plan.references[0], 60.0) == "run 1 of at most 63"
    assert forecast.left == "; about 62 min left at most"


def test_the_page_on_spark_and_dask_is_that_of_its_measurements() -> None:
    """`make spark-or-dask` writes both; nobody edits the page by hand."""
    files = BenchFiles()
    for name in ("bench.json", "recovery.json"):
        files = read(spark_or_dask.MEASURED / name, files)
    assert files.results is not None
    written = spark_or_dask.PAGE.read_text(encoding="utf-8")
    assert written in [spark_or_dask.page(files, is_shared=shared) for shared in (True, False)]
    assert spark_or_dask.PLOT.read_text(encoding="utf-8") == spark_or_dask.plot(files.results)
