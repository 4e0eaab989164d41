"""Run contestants in fresh processes and in seeded random order, and check each result before its time counts."""

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
from benchmarks.peers.answers import RATIO_TOLERANCE, TYPICAL_TOLERANCE, WORST_TOLERANCE, Deviation
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.preparation import Expected
from benchmarks.peers.workspace import Workspace, command, environment
from fruitscale.bench import process_tree
from fruitscale.bench.measure import failure_message, outcome_of
from fruitscale.bench.process_tree import ProcessResult
from fruitscale.runs.record import RunRecord

Outcome: TypeAlias = Literal["ok", "failed", "timeout", "out of memory", "wrong answer", "not installed"]
VARIANCE_TOLERANCE = 0.005
"""For the retained variance of the notebook's PCA, whose features are not identical to fruitscale's."""
WARM_UP = 0


@dataclass(frozen=True)
class Sample:
    """One run; round 0 is the warm-up. Seconds (of the stage and the process) are set only if `outcome` is ok.

    `off` is the deviation from the expected result: relative distances of features, or differences of ratios.
    """

    contestant: str
    round: int
    outcome: Outcome
    message: str = ""
    stage_seconds: float | None = None
    process_seconds: float | None = None
    peak_mb: float = 0.0
    cpu_seconds: float = 0.0
    off: Deviation | None = None
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PeerOutput:
    """What a run reported: stage seconds, rows, the location of its result, and further figures."""

    seconds: float
    rows: int
    answer: Path
    more: dict[str, float]


def measure(workspace: Workspace, expected: Expected, contestant: Contestant, number: int) -> Sample:
    """Run a contestant once. A failing run is returned as a result, never raised."""
    if not contestant.ours and not workspace.python.is_file():
        return Sample(contestant.name, number, "not installed", "run make bench-peers, which creates its environment")
    output = workspace.work / f"run-{uuid.uuid4().hex[:8]}"
    try:
        result = process_tree.run(
            command(workspace, contestant, output), environment(workspace, contestant), workspace.timeout_seconds
        )
        sample = Sample(
            contestant.name,
            number,
            "ok",
            peak_mb=round(result.peak_mb, 1),
            cpu_seconds=round(result.cpu_seconds, 2),
        )
        if result.code != 0:
            return replace(sample, outcome=outcome_of(result), message=failure_message(result))
        return _checked(sample, contestant, result, output, workspace, expected)
    finally:
        shutil.rmtree(output, ignore_errors=True)


def _checked(
    sample: Sample,
    contestant: Contestant,
    result: ProcessResult,
    output: Path,
    workspace: Workspace,
    expected: Expected,
) -> Sample:
    try:
        found = _from_record(result.out, output) if contestant.module is None else parse_output(result.out, contestant)
        off = _deviation(found, contestant, workspace, expected)
    except (ValueError, KeyError, OSError) as error:
        return replace(sample, outcome="wrong answer", message=str(error)[:300])
    sample = replace(sample, off=off, more=found.more)
    problem = problem_with(contestant, off, found.more, expected)
    if problem is not None:
        return replace(sample, outcome="wrong answer", message=problem)
    return replace(sample, stage_seconds=found.seconds, process_seconds=result.seconds)


def parse_output(out: str, contestant: Contestant) -> PeerOutput:
    """Parse the last line of JSON in a peer's output. Raises ValueError if there is none."""
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError("it printed no JSON line")
    figures: dict[str, Any] = json.loads(lines[-1])
    featurizes = contestant.job == "featurize"
    seconds = figures.pop("seconds_featurize" if featurizes else "seconds_fit")
    return PeerOutput(seconds, figures.pop("images" if featurizes else "rows"), Path(figures.pop("answer")), figures)


def _from_record(out: str, output: Path) -> PeerOutput:
    record = RunRecord.model_validate_json(out)
    more = {"seconds_total": record.seconds.total, "retained_variance": record.pca.retained_variance}
    return PeerOutput(record.seconds.featurize, record.images.featurized, output / "features", more)


def _deviation(found: PeerOutput, contestant: Contestant, workspace: Workspace, expected: Expected) -> Deviation:
    if contestant.job == "pca":
        return answers.ratios_deviation(found.answer, expected.ratios)
    assert expected.features is not None
    return answers.features_deviation(answers.read_features(found.answer, workspace.photos), expected.features)


def problem_with(
    contestant: Contestant, deviation: Deviation, more: dict[str, float], expected: Expected
) -> str | None:
    """Return what is wrong with a result, or None."""
    if contestant.job == "pca":
        if contestant.exact and not deviation.worst <= RATIO_TOLERANCE:
            return f"a variance ratio is off by {deviation.worst:.1e}"
        return None
    if not (deviation.typical <= TYPICAL_TOLERANCE and deviation.worst <= WORST_TOLERANCE):
        return f"features are off by {deviation.typical:.1%}, the worst by {deviation.worst:.1%}"
    retained = more.get("retained_variance", expected.retained_variance)
    if not abs(retained - expected.retained_variance) <= VARIANCE_TOLERANCE:
        return f"its PCA retains {retained:.6f} of the variance, expected {expected.retained_variance:.6f}"
    return None


Measure: TypeAlias = Callable[[Contestant, int], Sample]


def rounds(contestants: Sequence[Contestant], pairs: int, seed: int, run: Measure) -> Iterator[Sample]:
    """Yield one warm-up round, then `pairs` rounds in random order. A contestant that fails is not run again."""
    failed: set[str] = set()
    for number in range(WARM_UP, pairs + 1):
        for contestant in order_of(contestants, seed, number):
            if contestant.name not in failed:
                sample = run(contestant, number)
                if sample.outcome != "ok":
                    failed.add(contestant.name)
                yield sample


def order_of(contestants: Sequence[Contestant], seed: int, number: int) -> list[Contestant]:
    """Return the order of a round, which depends only on the seed; the warm-up keeps the given order."""
    order = list(contestants)
    if number != WARM_UP:
        random.Random(f"{seed} {number}").shuffle(order)
    return order
