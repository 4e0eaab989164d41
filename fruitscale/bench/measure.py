"""Measure one run: the real command in a fresh process, its result checked before its time counts."""

from __future__ import annotations

import hashlib
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from fruitscale import processes
from fruitscale.bench import process_tree
from fruitscale.bench.bench_plan import Variant
from fruitscale.bench.process_tree import ProcessResult
from fruitscale.config.schema import Config
from fruitscale.runs.record import RunRecord, StageSeconds

Kind: TypeAlias = Literal["reference", "cold", "warm-up", "timed", "twin"]
Outcome: TypeAlias = Literal["ok", "failed", "timeout", "out of memory", "wrong answer"]

VARIANCE_TOLERANCE = 1e-9
OUT_OF_MEMORY = ("memoryerror", "outofmemory", "out of memory", "memory runs out", "cannot allocate memory")
STAGES = tuple(StageSeconds.model_fields)
MAX_MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class RunAnswer:
    """The result of a run: row counts, a hash of its features parts, and its PCA's retained variance."""

    featurized: int
    rejected: int
    features_sha256: str
    components: int
    retained_variance: float


@dataclass(frozen=True)
class Measurement:
    """One run. `seconds` (of the process) and `stages` are set only if `outcome` is ok; else `message` gives the reason."""

    variant: Variant
    kind: Kind
    round: int
    outcome: Outcome
    message: str = ""
    seconds: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float | None = None
    images_per_second_per_slot: float | None = None
    peak_mb: float = 0.0
    cpu_seconds: float = 0.0
    answer: RunAnswer | None = None
    resumed: int = 0
    task_retries: int = 0

    def compared_seconds(self, scope: str) -> float | None:
        """Return the seconds of the whole process (`process`) or of a stage; None if the run does not count."""
        if self.outcome != "ok":
            return None
        return self.seconds if scope == "process" else self.stages[scope]


@dataclass(frozen=True)
class BenchSetup:
    """The configuration, folders of photos by number of images, a working folder and a cache folder."""

    config: Config
    photos: Mapping[int, str]
    work: Path
    cache: Path


def measure(setup: BenchSetup, variant: Variant, kind: Kind, round_number: int = 0) -> Measurement:
    """Run a variant once and remove its run folder. A failing run is returned as a result, never raised.

    A cold run has its own empty cache folder, so it exports the model too.
    """
    name = uuid.uuid4().hex[:12]
    run, config, cold = (setup.work / f"{name}{suffix}" for suffix in ("", ".yaml", ".cache"))
    config.write_text(_config_of(setup, variant, run).model_dump_json(), encoding="utf-8")  # JSON is YAML
    environment = environment_for(cold if kind == "cold" else setup.cache)
    try:
        result = process_tree.run(command(config), environment, setup.config.bench.timeout_seconds)
        return _with_result(Measurement(variant, kind, round_number, "ok"), result, run)
    finally:
        config.unlink()
        for folder in (run, cold):
            shutil.rmtree(folder, ignore_errors=True)


def command(config: Path) -> list[str]:
    """Return the command of a run as a user types it, with `--json` for its record."""
    return [sys.executable, "-m", "fruitscale", "run", "--quiet", "--json", "--config", str(config)]


def environment_for(cache: Path) -> dict[str, str]:
    """Return the environment of a run, with a cache folder of its own."""
    return processes.child_environment({"XDG_CACHE_HOME": str(cache)})


def check(sample: Measurement, reference: Measurement) -> Measurement:
    """Return the sample if its answer is the reference's, else the same without times and with the reason."""
    if sample.outcome != "ok":
        return sample
    if reference.answer is None:
        return _void(sample, "the reference run failed, so there is nothing to check against")
    assert sample.answer is not None
    problem = difference(sample.answer, reference.answer)
    return sample if problem is None else _void(sample, problem)


def difference(answer: RunAnswer, expected: RunAnswer) -> str | None:
    """Return how an answer differs from the expected one, or None."""
    if (answer.featurized, answer.rejected) != (expected.featurized, expected.rejected):
        rows = f"{answer.featurized:,} images and {answer.rejected:,} rejects"
        return f"{rows}, expected {expected.featurized:,} and {expected.rejected:,}"
    if answer.features_sha256 != expected.features_sha256:
        return "features differ from the reference"
    gap = abs(answer.retained_variance - expected.retained_variance)
    if answer.components != expected.components or not gap <= VARIANCE_TOLERANCE:
        retained = f"{answer.components} components retain {answer.retained_variance:.12f}"
        return f"{retained}, expected {expected.components} and {expected.retained_variance:.12f}"
    return None


def features_sha256(run: Path) -> str:
    """Return the SHA-256 of the names and bytes of a run's features parts, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted((run / "features").glob("*.parquet")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _config_of(setup: BenchSetup, variant: Variant, run: Path) -> Config:
    config = setup.config
    return config.model_copy(
        update={
            "engine": variant.engine,
            "slots": variant.slots,
            "input": config.input.model_copy(update={"uri": setup.photos[variant.images], "list": None, "limit": None}),
            "output": config.output.model_copy(update={"uri": str(run), "overwrite": False}),
            "model": config.model.model_copy(update={"precision": variant.precision}),
        }
    )


def _with_result(sample: Measurement, result: ProcessResult, run: Path) -> Measurement:
    sample = replace(sample, peak_mb=round(result.peak_mb, 1), cpu_seconds=round(result.cpu_seconds, 2))
    if result.code != 0:
        return replace(sample, outcome=outcome_of(result), message=failure_message(result))
    record = RunRecord.model_validate_json(result.out)
    answer = RunAnswer(
        record.images.featurized,
        record.images.rejected,
        features_sha256(run),
        record.pca.components,
        record.pca.retained_variance,
    )
    measured = replace(
        sample,
        seconds=result.seconds,
        stages={stage: getattr(record.seconds, stage) for stage in STAGES},
        images_per_second=record.images_per_second,
        images_per_second_per_slot=record.images_per_second_per_core,
        answer=answer,
        resumed=record.images.resumed,
        task_retries=record.retries.tasks,
    )
    if answer.featurized + answer.rejected != sample.variant.images:
        return _void(measured, f"{answer.featurized + answer.rejected:,} rows, expected {sample.variant.images:,}")
    return measured


def _void(sample: Measurement, problem: str) -> Measurement:
    return replace(sample, outcome="wrong answer", message=problem, seconds=None, stages={}, images_per_second=None,
                   images_per_second_per_slot=None)  # fmt: skip


def outcome_of(result: ProcessResult) -> Outcome:
    """Classify a failed command: timeout, out of memory, or failed."""
    if result.timed_out:
        return "timeout"
    stderr = result.err.lower()
    if result.code == -9 or any(sign in stderr for sign in OUT_OF_MEMORY):
        return "out of memory"
    return "failed"


def failure_message(result: ProcessResult) -> str:
    """Return why a command failed: its exit code, and its error message or last line of stderr."""
    lines = [line.strip() for line in result.err.splitlines() if line.strip()]
    error = next((line for line in lines if line.startswith("Error: ")), lines[-1] if lines else "no error message")
    return f"exit code {result.code}: {error.removeprefix('Error: ')}"[:MAX_MESSAGE_LENGTH]
