"""The files of a synthetic benchmark."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fruitscale.bench.bench_plan import Variant, make_plan
from fruitscale.bench.overhead import Overhead
from fruitscale.bench.recovery import Recovery
from fruitscale.bench.results import Results, make_results, to_json
from fruitscale.config.schema import Bench
from tests.unit.bench_samples import HERE, failure, sample

PLAN = make_plan(Bench(engines=("local", "dask"), slots=(1, 2), images=(1000, 4000)), cores=2)
BAD = "exit code -9: <b>killed</b>"


def found() -> Results:
    """Return eight rounds of all variants with some noise, and a failed run."""
    rng = np.random.default_rng(1)

    def seconds(variant: Variant) -> float:
        start = 3.0 if variant.engine == "local" else 5.0
        return (start + variant.images * 0.02 / variant.slots) * float(np.exp(rng.normal(0, 0.02)))

    samples = [sample(variant, seconds(variant), round=0, kind="cold") for variant in PLAN.variants]
    for number in range(1, 9):
        samples += [sample(variant, seconds(variant), round=number) for variant in PLAN.variants]
        floors = [c.subject.variant for c in PLAN.comparisons if c.is_floor]
        samples += [sample(variant, seconds(variant), round=number, kind="twin") for variant in floors]
    samples.append(failure(PLAN.variants[-1], "out of memory", round=9, message=BAD))
    samples = [replace(s, peak_mb=500 + s.variant.images / 50) for s in samples]
    return make_results(
        PLAN, samples, started="2026-01-01T00:00:00+00:00", compare="process", environment=HERE, price=0.05,
        notes=["4,000 images: 240 photos, repeated under other names"],
    )  # fmt: skip


def write(folder: Path) -> Path:
    """Write the three files that a benchmark's page is built from."""
    (folder / "bench.json").write_text(to_json(found()))
    recovery = [
        Recovery("spark", 2000, 60.0, 85.0, 25.0, 14.0, 20, 40, 50, 700, 8, same_answer=True),
        Recovery("dask", 2000, failure="no cluster"),
    ]
    (folder / "recovery.json").write_text(json.dumps([asdict(one) for one in recovery]))
    overhead = [Overhead("spark", 2, 1000, 25.0, 4.2), Overhead("dask", 2, 1000, 1.6, 2.0)]
    (folder / "overhead.json").write_text(json.dumps([asdict(one) for one in overhead]))
    return folder
