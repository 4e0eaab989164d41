"""Results computed from samples: medians, verdicts, fitted lines, cost; the tables; and pytest-benchmark's JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fruitscale.bench import result_tables, round_statistics
from fruitscale.bench.bench_plan import Variant, make_plan
from fruitscale.bench.measure import Measurement
from fruitscale.bench.results import Results, cost_per_million, make_results, to_json
from fruitscale.config.schema import Bench
from tests.unit.bench_samples import HERE, LOCAL, SPARK, Noise, failure, sample

PLAN = make_plan(Bench(engines=("local", "spark")), cores=2)


def results(samples: list[Measurement], plan: object = PLAN, price: float | None = None) -> Results:
    assert isinstance(plan, type(PLAN))
    return make_results(
        plan, samples, started="2026-01-01T00:00:00+00:00", compare="process", environment=HERE, price=price,
        notes=["1,000 images: 240 photos, repeated under other names"],
    )  # fmt: skip


def rounds(slower: float, n: int = 10) -> list[Measurement]:
    noise, samples = Noise(5), []
    for number in range(1, n + 1):
        spark, local = noise.pair(slower)
        twin, _ = noise.pair()
        samples += [sample(SPARK, spark, round=number), sample(LOCAL, local, round=number)]
        samples += [sample(LOCAL, twin, round=number, kind="twin")]
    return samples


@pytest.mark.parametrize(("slower", "expected"), [(1.2, "slower"), (1.0, "no difference"), (0.8, "faster")])
def test_the_verdict_of_a_pair(slower: float, expected: str) -> None:
    [comparison] = results(rounds(slower)).comparisons
    assert (comparison.subject, comparison.baseline) == (SPARK, LOCAL)
    assert comparison.ratio is not None
    assert comparison.ratio.median == pytest.approx(slower, rel=0.05)
    assert comparison.verdict == expected
    assert comparison.floor is not None
    assert 0 < comparison.floor < 0.1


def test_few_pairs_have_no_verdict() -> None:
    [comparison] = results(rounds(2.0, n=4)).comparisons
    assert comparison.ratio is not None
    assert comparison.verdict is None


def test_a_run_without_a_time_is_in_no_pair() -> None:
    samples = rounds(1.2)
    wrong = sample(SPARK, 1.0, round=11, outcome="wrong answer", message="features differ from the reference")
    found = results([*samples, wrong, sample(LOCAL, 10.0, round=11)])
    assert found.comparisons == results(samples).comparisons
    assert found.failed == (wrong,)
    assert found.variants[1].failures == ("timed: wrong answer: features differ from the reference",)
    assert found.variants[1].runs == 10


def test_a_variant_that_never_worked_is_shown() -> None:
    failed = failure(SPARK, "out of memory", kind="cold", round=0, message="exit code -9")
    found = results([failed, *(s for s in rounds(1.0) if s.variant == LOCAL)])
    [comparison] = found.comparisons
    assert (comparison.ratio, comparison.verdict) == (None, None)
    assert found.variants[1].seconds is None
    text = result_tables.markdown(found)
    assert "| Spark | cold | out of memory | exit code -9 |" in text
    assert "too few pairs" in text


def test_the_fitted_line_gives_the_price_of_a_million() -> None:
    plan = make_plan(Bench(engines=("local",), images=(1000, 5000, 20000)), cores=2)
    samples = [
        sample(Variant("local", 2, n, "f32"), 3 + 0.004 * n, peak_mb=500.0, round=r)
        for n in (1000, 5000, 20000)
        for r in (1, 2)
    ]
    found = results(samples, plan, price=0.05)
    [growth] = found.growth
    assert (growth.seconds.intercept, growth.seconds.slope) == pytest.approx((3, 0.004))
    assert growth.peak_mb.slope == pytest.approx(0)
    assert [v.cost_per_million for v in found.variants] == pytest.approx([4003 / 3600 * 2 * 0.05] * 3)


def test_cost_without_a_line_is_proportional() -> None:
    found = results(rounds(1.0), price=0.05)
    local = found.variants[0]
    assert local.seconds is not None
    assert local.cost_per_million == pytest.approx(cost_per_million(local.seconds * 1000, 2, 0.05))
    assert results(rounds(1.0)).variants[0].cost_per_million is None


def test_a_falling_line_gives_no_negative_price() -> None:
    plan = make_plan(Bench(engines=("local",), images=(1000, 2000)), cores=2)
    samples = [sample(Variant("local", 2, 1000, "f32"), 10.0), sample(Variant("local", 2, 2000, "f32"), 9.0)]
    assert all(v.cost_per_million and v.cost_per_million > 0 for v in results(samples, plan, price=0.05).variants)


def test_scaling_shows_speed_up_and_efficiency() -> None:
    plan = make_plan(Bench(engines=("local",), slots=(1, 2)), cores=2)
    one, two = Variant("local", 1, 1000, "f32"), Variant("local", 2, 1000, "f32")
    samples = [sample(v, s, round=n) for n in range(1, 6) for v, s in ((one, 10.0), (two, 6.25))]
    text = result_tables.markdown(results(samples, plan))
    assert "| local, 2 slots | 1 to 2 | 1.60 | 80% |" in text


def test_markdown_has_the_environment_and_the_notes() -> None:
    text = result_tables.markdown(results(rounds(1.0), price=0.05))
    for words in (
        "A CPU, 2 cores, 16 GB",
        "commit c0ffee with changes",
        "Every run: 2 slots, 1,000 photos, f32",
        "240 photos, repeated",
        "cost per million",
    ):
        assert words in text
    assert "A/A: local |" in text


def test_the_statistics_of_the_rounds_are_pytest_benchmarks() -> None:
    """`pytest_benchmark.stats.Stats` is undocumented: this fails when an upgrade changes it."""
    stats = round_statistics.summarize([1.0, 1.25, 9.0, 1.0, 1.5])
    assert stats.pop("data") == [1.0, 1.25, 9.0, 1.0, 1.5]
    assert stats == pytest.approx({
        "min": 1.0, "max": 9.0, "mean": 2.75, "stddev": 3.5, "rounds": 5, "median": 1.25, "iqr": 2.375, "q1": 1.0,
        "q3": 3.375, "iqr_outliers": 1, "stddev_outliers": 1, "outliers": "1;1", "ld15iqr": 1.0, "hd15iqr": 1.5,
        "ops": 5 / 13.75, "total": 13.75, "iterations": 1,
    })  # fmt: skip
    assert round_statistics.summarize([2.0])["iqr"] == 0


@pytest.mark.parametrize("options", [["--columns=min,median,rounds"], ["--group-by=group"], ["--csv=FILE"]])
def test_pytest_benchmark_compares_the_json(tmp_path: Path, options: list[str]) -> None:
    for name, slower in (("before", 1.0), ("after", 1.2)):
        (tmp_path / f"{name}.json").write_text(to_json(results(rounds(slower))))
    options = [option.replace("FILE", str(tmp_path / "table")) for option in options]
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "before.json", "after.json", *options]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("spark-2x1000-f32") == 2
    assert "Failed" not in process.stderr


def test_the_json_has_everything() -> None:
    document = json.loads(to_json(results(rounds(1.2))))
    assert [entry["name"] for entry in document["benchmarks"]] == ["local-2x1000-f32", "spark-2x1000-f32"]
    assert document["benchmarks"][0]["extra_info"]["retained_variance"] == 0.95
    assert len(document["benchmarks"][0]["stats"]["data"]) == 10
    assert len(document["fruitscale"]["samples"]) == 30
    assert document["fruitscale"]["environment"]["dirty"] is True
