"""One variant, measured: the real command in a fresh process, and its answer checked before its time counts."""

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
from fruitscale.runs.record import RunRecord

Kind: TypeAlias = Literal["reference", "cold", "warm-up", "timed", "twin"]
Outcome: TypeAlias = Literal["ok", "failed", "timeout", "out of memory", "wrong answer"]

VARIANCE_TOLERANCE = 1e-9
OUT_OF_MEMORY = ("memoryerror", "outofmemory", "out of memory", "memory runs out", "cannot allocate memory")
STAGES = ("start", "list", "export", "featurize", "fit", "project", "total")
LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class RunAnswer:
    """What a run made: its rows, a hash of its features parts, and what its PCA keeps of the variance."""

    featurized: int
    rejected: int
    features_sha256: str
    components: int
    retained_variance: float


@dataclass(frozen=True)
class Measurement:
    """One run. Its `seconds` (process and stages) count only where `outcome` is ok; `message` says what else it is."""

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

    def compared(self, what: str) -> float | None:
        """Return the seconds that are compared: of the whole process, or of a stage. None where they are void."""
        if self.outcome != "ok":
            return None
        return self.seconds if what == "process" else self.stages[what]


@dataclass(frozen=True)
class BenchSetup:
    """Where runs are made: the configuration, folders of photos by their number, a working folder, a cache folder."""

    config: Config
    photos: Mapping[int, str]
    work: Path
    cache: Path


def measure(setting: BenchSetup, variant: Variant, kind: Kind, round_number: int = 0) -> Measurement:
    """Run a variant once, in a run folder that is removed again. A failure is a result; nothing is raised for one.

    A cold run has a cache folder of its own, so that the model is exported in it.
    """
    name = uuid.uuid4().hex[:12]
    run, config, cold = (setting.work / f"{name}{suffix}" for suffix in ("", ".yaml", ".cache"))
    config.write_text(_config_of(setting, variant, run).model_dump_json(), encoding="utf-8")  # JSON is YAML
    environment = environment_for(cold if kind == "cold" else setting.cache)
    try:
        watched = process_tree.watch(command(config), environment, setting.config.bench.timeout_seconds)
        return _sample(Measurement(variant, kind, round_number, "ok"), watched, run)
    finally:
        config.unlink()
        for folder in (run, cold):
            shutil.rmtree(folder, ignore_errors=True)


def command(config: Path) -> list[str]:
    """Return the command of a run: what a user types, with the JSON record for an answer."""
    return [sys.executable, "-m", "fruitscale", "run", "--quiet", "--json", "--config", str(config)]


def environment_for(cache: Path) -> dict[str, str]:
    """Return the environment of a run, with a cache folder of its own."""
    return processes.child_environment({"XDG_CACHE_HOME": str(cache)})


def check(sample: Measurement, reference: Measurement) -> Measurement:
    """Return the sample as it is when its answer is the reference's, else one whose times are void."""
    if sample.outcome != "ok":
        return sample
    if reference.answer is None:
        return _void(sample, "there is no reference to check it with: its run failed")
    assert sample.answer is not None
    problem = difference(sample.answer, reference.answer)
    return sample if problem is None else _void(sample, problem)


def difference(answer: RunAnswer, expected: RunAnswer) -> str | None:
    """Say how an answer differs from the one that is expected; None where it does not."""
    if (answer.featurized, answer.rejected) != (expected.featurized, expected.rejected):
        rows = f"{answer.featurized:,} images and {answer.rejected:,} rejects"
        return f"{rows}, not {expected.featurized:,} and {expected.rejected:,}"
    if answer.features_sha256 != expected.features_sha256:
        return "its features are not the reference's"
    gap = abs(answer.retained_variance - expected.retained_variance)
    if answer.components != expected.components or not gap <= VARIANCE_TOLERANCE:
        kept = f"{answer.components} components keep {answer.retained_variance:.12f}"
        return f"{kept}, not {expected.components} and {expected.retained_variance:.12f}"
    return None


def features_sha256(run: Path) -> str:
    """Hash the names and bytes of a run's features parts, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted((run / "features").glob("*.parquet")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _config_of(setting: BenchSetup, variant: Variant, run: Path) -> Config:
    config = setting.config
    return config.model_copy(
        update={
            "engine": variant.engine,
            "slots": variant.slots,
            "input": config.input.model_copy(
                update={"uri": setting.photos[variant.images], "list": None, "limit": None}
            ),
            "output": config.output.model_copy(update={"uri": str(run), "overwrite": False}),
            "model": config.model.model_copy(update={"precision": variant.precision}),
        }
    )


def _sample(sample: Measurement, watched: ProcessResult, run: Path) -> Measurement:
    sample = replace(sample, peak_mb=round(watched.peak_mb, 1), cpu_seconds=round(watched.cpu_seconds, 2))
    if watched.code != 0:
        return replace(sample, outcome=outcome_of(watched), message=last_words(watched))
    record = RunRecord.model_validate_json(watched.out)
    answer = RunAnswer(
        record.images.featurized,
        record.images.rejected,
        features_sha256(run),
        record.pca.components,
        record.pca.retained_variance,
    )
    done = replace(
        sample,
        seconds=watched.seconds,
        stages={stage: getattr(record.seconds, stage) for stage in STAGES},
        images_per_second=record.images_per_second,
        images_per_second_per_slot=record.images_per_second_per_core,
        answer=answer,
        resumed=record.images.resumed,
        task_retries=record.retries.tasks,
    )
    if answer.featurized + answer.rejected != sample.variant.images:
        return _void(done, f"{answer.featurized + answer.rejected:,} rows, not {sample.variant.images:,}")
    return done


def _void(sample: Measurement, problem: str) -> Measurement:
    return replace(sample, outcome="wrong answer", message=problem, seconds=None, stages={}, images_per_second=None,
                   images_per_second_per_slot=None)  # fmt: skip


def outcome_of(watched: ProcessResult) -> Outcome:
    """Name the way in which a command failed."""
    if watched.timed_out:
        return "timeout"
    said = watched.err.lower()
    if watched.code == -9 or any(sign in said for sign in OUT_OF_MEMORY):
        return "out of memory"
    return "failed"


def last_words(watched: ProcessResult) -> str:
    """Say why a command failed: its exit code, and its own error or last line."""
    lines = [line.strip() for line in watched.err.splitlines() if line.strip()]
    error = next((line for line in lines if line.startswith("Error: ")), lines[-1] if lines else "it said nothing")
    return f"exit code {watched.code}: {error.removeprefix('Error: ')}"[:LONGEST_MESSAGE]
