"""The table of a job: one row per contestant with its medians and its time as a multiple of fruitscale's."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal, TypeAlias

from benchmarks.peers.contestants import Contestant
from benchmarks.peers.trial import WARM_UP, Sample
from fruitscale.bench.bench_statistics import MIN_PAIRS, Ratio, ratio_of
from fruitscale.bench.result_tables import Rows, figure

TimeField: TypeAlias = Literal["stage_seconds", "process_seconds"]


def rows(contestants: Sequence[Contestant], samples: Sequence[Sample], seed: int) -> Rows:
    """Return the table of a job from its contestants and their runs."""
    ours = [contestant for contestant in contestants if contestant.ours]
    job = contestants[0].job
    stage = "featurize" if job == "featurize" else "fit"
    headings = ("contestant", "outcome", "runs", f"{stage} s", "process s", "CPU s", "peak MB", "deviation",
                *(f"{time} / {one.variant}" for one in ours for time in (stage, "process")))  # fmt: skip
    table_rows = tuple(_row(contestant, ours, samples, seed) for contestant in contestants)
    return Rows(
        f"{stage.capitalize()}: time as a multiple of fruitscale's, with 95 % intervals", headings, table_rows, texts=2
    )


def ratio(subject: str, baseline: str, samples: Sequence[Sample], field: TimeField, seed: int) -> Ratio | None:
    """Return the ratio of seconds, subject / baseline, over the rounds that both finished."""
    seconds = {(s.contestant, s.round): getattr(s, field) for s in timed(samples)}
    numbers = sorted({number for _, number in seconds})
    pairs = [
        (seconds[subject, number], seconds[baseline, number])
        for number in numbers
        if (subject, number) in seconds and (baseline, number) in seconds
    ]
    return ratio_of(pairs, seed) if pairs else None


def timed(samples: Sequence[Sample]) -> list[Sample]:
    """Return the runs whose times count: ok, and not the warm-up."""
    return [sample for sample in samples if sample.outcome == "ok" and sample.round != WARM_UP]


def _row(contestant: Contestant, ours: Sequence[Contestant], samples: Sequence[Sample], seed: int) -> tuple[str, ...]:
    all_runs = [sample for sample in samples if sample.contestant == contestant.name]
    runs = timed(all_runs)
    deviation = max((sample.off.worst for sample in all_runs if sample.off is not None), default=None)
    medians = [
        figure(_median([getattr(run, name) for run in runs]), digits)
        for name, digits in (("stage_seconds", 2), ("process_seconds", 2), ("cpu_seconds", 1), ("peak_mb", 0))
    ]
    ratios = [
        _ratio_cell(None if one == contestant else ratio(contestant.name, one.name, samples, field, seed))
        for one in ours
        for field in ("stage_seconds", "process_seconds")
    ]  # fmt: skip
    return (
        contestant.name,
        _outcome(contestant, all_runs),
        str(len(runs)),
        *medians,
        _deviation_cell(deviation),
        *ratios,
    )


def _outcome(contestant: Contestant, runs: Sequence[Sample]) -> str:
    failed = next((run for run in runs if run.outcome != "ok"), None)
    if failed is not None:
        return f"{failed.outcome}: {failed.message}"
    return "ok" if contestant.exact else "ok, an approximation"


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _deviation_cell(deviation: float | None) -> str:
    return "-" if deviation is None else f"{deviation:.1e}"


def _ratio_cell(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    interval = f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.pairs >= MIN_PAIRS else ""
    return f"{ratio.median:.2f}{interval}"
