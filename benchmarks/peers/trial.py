"""The runs: each in a fresh process, its answer checked before its time counts; rounds in seeded random order."""

from __future__ import annotations

import json
import random
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from benchmarks.peers import answers
from benchmarks.peers.answers import RATIO_TOLERANCE, TYPICAL_TOLERANCE, WORST_TOLERANCE, Off
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.ground import Ground, command, environment
from benchmarks.peers.preparation import Expected
from fruitscale.bench import process_tree
from fruitscale.bench.measure import last_words, outcome_of
from fruitscale.bench.process_tree import ProcessResult
from fruitscale.runs.record import RunRecord

Outcome: TypeAlias = Literal["ok", "failed", "timeout", "out of memory", "wrong answer", "not installed"]
VARIANCE_TOLERANCE = 0.005
"""Of the variance that the notebook's PCA keeps: its features are not ours to the last bit."""
WARM_UP = 0


@dataclass(frozen=True)
class Sample:
    """One run; round 0 is the warm-up. Seconds (of the stage and the process) are there only where `outcome` is ok.

    `off` is how far the answer is from the right one: relative distances of features, or differences of ratios.
    """

    contestant: str
    round: int
    outcome: Outcome
    message: str = ""
    stage_seconds: float | None = None
    process_seconds: float | None = None
    peak_mb: float = 0.0
    cpu_seconds: float = 0.0
    off: Off | None = None
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What a run said of itself."""

    seconds: float
    rows: int
    answer: Path
    more: dict[str, float]


def measure(ground: Ground, expected: Expected, contestant: Contestant, number: int) -> Sample:
    """Run a contestant once. A failure is a result; nothing is raised for one."""
    if not contestant.ours and not ground.python.is_file():
        return Sample(contestant.name, number, "not installed", "make bench-peers makes its environment")
    output = ground.work / f"run-{uuid.uuid4().hex[:8]}"
    try:
        watched = process_tree.watch(
            command(ground, contestant, output), environment(ground, contestant), ground.timeout_seconds
        )
        sample = Sample(
            contestant.name,
            number,
            "ok",
            peak_mb=round(watched.peak_mb, 1),
            cpu_seconds=round(watched.cpu_seconds, 2),
        )
        if watched.code != 0:
            return replace(sample, outcome=outcome_of(watched), message=last_words(watched))
        return _checked(sample, contestant, watched, output, ground, expected)
    finally:
        shutil.rmtree(output, ignore_errors=True)


def _checked(
    sample: Sample, contestant: Contestant, watched: ProcessResult, output: Path, ground: Ground, expected: Expected
) -> Sample:
    try:
        found = _from_record(watched.out, output) if contestant.module is None else said(watched.out, contestant)
        off = _off(found, contestant, ground, expected)
    except (ValueError, KeyError, OSError) as error:
        return replace(sample, outcome="wrong answer", message=str(error)[:300])
    sample = replace(sample, off=off, more=found.more)
    problem = wrong(contestant, off, found.more, expected)
    if problem is not None:
        return replace(sample, outcome="wrong answer", message=problem)
    return replace(sample, stage_seconds=found.seconds, process_seconds=watched.seconds)


def said(out: str, contestant: Contestant) -> Found:
    """Read the line of JSON that a peer ends with; other lines may be around it. Raises ValueError where it is not there."""
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError("it told no figures")
    figures: dict[str, Any] = json.loads(lines[-1])
    featurizes = contestant.job == "featurize"
    seconds = figures.pop("seconds_featurize" if featurizes else "seconds_fit")
    return Found(seconds, figures.pop("images" if featurizes else "rows"), Path(figures.pop("answer")), figures)


def _from_record(out: str, output: Path) -> Found:
    record = RunRecord.model_validate_json(out)
    more = {"seconds_total": record.seconds.total, "retained_variance": record.pca.retained_variance}
    return Found(record.seconds.featurize, record.images.featurized, output / "features", more)


def _off(found: Found, contestant: Contestant, ground: Ground, expected: Expected) -> Off:
    if contestant.job == "pca":
        return answers.ratios_off(found.answer, expected.ratios)
    assert expected.features is not None
    return answers.features_off(answers.read_features(found.answer, ground.photos), expected.features)


def wrong(contestant: Contestant, off: Off, more: dict[str, float], expected: Expected) -> str | None:
    """Say what is wrong with an answer; None where nothing is."""
    if contestant.job == "pca":
        if contestant.exact and not off.worst <= RATIO_TOLERANCE:
            return f"a variance ratio is off by {off.worst:.1e}"
        return None
    if not (off.typical <= TYPICAL_TOLERANCE and off.worst <= WORST_TOLERANCE):
        return f"features are off by {off.typical:.1%}, the worst by {off.worst:.1%}"
    kept = more.get("retained_variance", expected.retained_variance)
    if not abs(kept - expected.retained_variance) <= VARIANCE_TOLERANCE:
        return f"its PCA keeps {kept:.6f} of the variance, not {expected.retained_variance:.6f}"
    return None


Measure: TypeAlias = Callable[[Contestant, int], Sample]


def rounds(contestants: Sequence[Contestant], pairs: int, seed: int, run: Measure) -> Iterator[Sample]:
    """Run all once for warm-up, then `pairs` rounds, each in a random order. What fails is not run again."""
    failed: set[str] = set()
    for number in range(WARM_UP, pairs + 1):
        for contestant in order_of(contestants, seed, number):
            if contestant.name not in failed:
                sample = run(contestant, number)
                if sample.outcome != "ok":
                    failed.add(contestant.name)
                yield sample


def order_of(contestants: Sequence[Contestant], seed: int, number: int) -> list[Contestant]:
    """Return a round's order, the same for the same seed; the warm-up's is the given one."""
    order = list(contestants)
    if number != WARM_UP:
        random.Random(f"{seed} {number}").shuffle(order)
    return order
