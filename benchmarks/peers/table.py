"""The table: a line a contestant, its medians, and how many times our seconds it takes; an interval from 5 pairs on."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal, TypeAlias

from benchmarks.peers.contestants import Contestant
from benchmarks.peers.trial import WARM_UP, Sample
from fruitscale.bench.result_tables import Rows, figure
from fruitscale.bench.statistics import LEAST_PAIRS, Ratio, ratio_of

What: TypeAlias = Literal["stage_seconds", "process_seconds"]


def rows(contestants: Sequence[Contestant], samples: Sequence[Sample], seed: int) -> Rows:
    """Return the table of a job. Its contestants are all of the same one."""
    mine = [contestant for contestant in contestants if contestant.ours]
    job = contestants[0].job
    stage = "featurize" if job == "featurize" else "fit"
    headings = ("contestant", "what happened", "runs", f"{stage} s", "process s", "CPU s", "peak MB", "off by",
                *(f"{what} / {one.variant}" for one in mine for what in (stage, "process")))  # fmt: skip
    made = tuple(_row(contestant, mine, samples, seed) for contestant in contestants)
    return Rows(f"{stage.capitalize()}: times of ours that each takes, with 95 % intervals", headings, made, texts=2)


def ratio(subject: str, baseline: str, samples: Sequence[Sample], what: What, seed: int) -> Ratio | None:
    """Return how many times the seconds of one are those of the other, over the rounds that both finished."""
    seconds = {(s.contestant, s.round): getattr(s, what) for s in timed(samples)}
    numbers = sorted({number for _, number in seconds})
    pairs = [
        (seconds[subject, number], seconds[baseline, number])
        for number in numbers
        if (subject, number) in seconds and (baseline, number) in seconds
    ]
    return ratio_of(pairs, seed) if pairs else None


def timed(samples: Sequence[Sample]) -> list[Sample]:
    """Return the runs whose times count."""
    return [sample for sample in samples if sample.outcome == "ok" and sample.round != WARM_UP]


def _row(contestant: Contestant, mine: Sequence[Contestant], samples: Sequence[Sample], seed: int) -> tuple[str, ...]:
    all_runs = [sample for sample in samples if sample.contestant == contestant.name]
    runs = timed(all_runs)
    off = max((sample.off.worst for sample in all_runs if sample.off is not None), default=None)
    medians = [
        figure(_median([getattr(run, name) for run in runs]), digits)
        for name, digits in (("stage_seconds", 2), ("process_seconds", 2), ("cpu_seconds", 1), ("peak_mb", 0))
    ]
    ratios = [
        _ratio_cell(None if one == contestant else ratio(contestant.name, one.name, samples, what, seed))
        for one in mine
        for what in ("stage_seconds", "process_seconds")
    ]  # fmt: skip
    return contestant.name, _happened(contestant, all_runs), str(len(runs)), *medians, _off_cell(off), *ratios


def _happened(contestant: Contestant, runs: Sequence[Sample]) -> str:
    failed = next((run for run in runs if run.outcome != "ok"), None)
    if failed is not None:
        return f"{failed.outcome}: {failed.message}"
    return "ok" if contestant.exact else "ok, an approximation"


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _off_cell(off: float | None) -> str:
    return "-" if off is None else f"{off:.1e}"


def _ratio_cell(found: Ratio | None) -> str:
    if found is None:
        return "-"
    interval = f" ({found.low:.2f} to {found.high:.2f})" if found.pairs >= LEAST_PAIRS else ""
    return f"{found.median:.2f}{interval}"
