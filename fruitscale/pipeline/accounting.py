"""Adds up the reports of tasks, and makes the run record."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

from fruitscale.config.schema import Config
from fruitscale.config.version import __version__
from fruitscale.engines.base import EngineInfo
from fruitscale.errors import OutputError
from fruitscale.kernels.moments import Components
from fruitscale.model.exported_model import ExportedModel
from fruitscale.pipeline.reject_limits import reject_limit
from fruitscale.runs import record
from fruitscale.runs.environment import environment
from fruitscale.runs.fitted_pca import FittedPca
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.run_folder import RunPlan
from fruitscale.stages import ShardReport, peak_rss_mb
from fruitscale.storage.residency import Residency

MACHINES = "FRUITSCALE_MACHINES"
"""Environment variable of a cluster's driver (JSON): when its machines started, and their prices per hour."""
STEPS = ("load", "read", "decode", "infer", "write")


@dataclass
class Tally:
    """The sum of the reports of stage 1."""

    featurized: int = 0
    rejected: int = 0
    resumed: int = 0
    model_loads: int = 0
    worker_rss_mb: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    with_rejects: list[int] = field(default_factory=list)
    with_absent: dict[int, ShardReport] = field(default_factory=dict)
    """Reports of shards with rejects that were absent, by shard: they are looked at again."""
    shards: int = 0
    reads_retried: int = 0
    writes_retried: int = 0
    files: dict[str, str] = field(default_factory=dict)
    """The sha256 of every part, by name."""
    damaged: list[int] = field(default_factory=list)
    """The shards whose part was damaged and is written again."""
    warnings: Counter[str] = field(default_factory=Counter)
    cpu_kinds: Counter[str] = field(default_factory=Counter)
    """Photos computed by this run, by the kind of CPU."""

    def add(self, report: ShardReport) -> None:
        """Add the report of one shard. A shard that was done again replaces its counts."""
        if (earlier := self.with_absent.pop(report.index, None)) is not None:
            if report.resumed:
                return
            self._take_back(earlier)
        if report.absent:
            self.with_absent[report.index] = report
        self.shards += 1
        self.files.update(report.files)
        self.featurized += report.featurized
        self.rejected += report.rejected
        self.resumed += report.featurized if report.resumed else report.reused
        self.model_loads += report.loaded
        if report.cpu and not report.resumed:
            self.cpu_kinds[report.cpu] += report.featurized - report.reused
        self.warnings.update(report.warnings)
        self.reads_retried += report.reads_retried
        self.writes_retried += report.writes_retried
        self.worker_rss_mb = max(self.worker_rss_mb, report.rss_mb)
        for step, seconds in report.seconds.items():
            self.seconds[step] += seconds
        if report.damaged:
            self.damaged.append(report.index)
        if report.rejected:
            self.with_rejects.append(report.index)

    def _take_back(self, report: ShardReport) -> None:
        self.shards -= 1
        self.warnings.subtract(report.warnings)
        for name in report.files:
            self.files.pop(name, None)
        self.featurized -= report.featurized
        self.rejected -= report.rejected
        self.resumed -= report.featurized if report.resumed else report.reused
        self.with_rejects.remove(report.index)

    def check(self, images: int) -> None:
        """Raise OutputError unless every image of the manifest is accounted for exactly once."""
        if self.featurized + self.rejected != images:
            raise OutputError(
                f"{images} images were listed, but {self.featurized} were featurized and {self.rejected} rejected.",
                "Run the same command again; if it happens again, report it with _run/plan.json.",
            )


@dataclass(frozen=True)
class RunOutcome:
    """Everything that goes into the record."""

    run_id: str
    config: Config
    residency: Residency | None
    plan: RunPlan
    photos: Manifest
    exported: ExportedModel
    engine: EngineInfo
    tally: Tally
    fitted: Components
    applied: FittedPca | None
    seconds: dict[str, float]
    files: dict[str, str]
    kept_kinds: tuple[str, ...] = ()


def make_record(outcome: RunOutcome) -> record.RunRecord:
    """Return the run record."""
    config, photos, tally = outcome.config, outcome.photos, outcome.tally
    made = tally.featurized - tally.resumed
    per_second = made / outcome.seconds["featurize"] if made else None
    seconds = {stage: round(outcome.seconds.get(stage, 0.0), 3) for stage in record.StageSeconds.model_fields}
    engine = {k: v for k, v in asdict(outcome.engine).items() if k not in ("retries", "expected_cores")}
    return record.RunRecord(
        id=outcome.run_id,
        fruitscale=__version__,
        fingerprints=record.Fingerprints(**outcome.plan.fingerprints),
        engine=record.EngineRecord(**engine),
        input=record.InputRecord(
            uri=config.input.uri,
            images=photos.images,
            bytes=photos.bytes,
            labels=photos.labels,
            manifest_sha256=photos.sha256,
            not_taken=photos.account.counts(),
            archived=dict(photos.account.archived),
            shared_labels=len(photos.account.shared_labels),
        ),
        output=record.OutputRecord(uri=config.output.uri),
        model=_model(outcome),
        reject_limit=reject_limit(config.images, tally.rejected, photos.images),
        images=record.ImageCounts(featurized=tally.featurized, rejected=tally.rejected, resumed=tally.resumed),
        pca=_pca(outcome),
        seconds=record.StageSeconds(**seconds),
        worker_seconds=record.WorkerSeconds(**{step: round(s, 3) for step, s in tally.seconds.items()}),
        images_per_second=per_second,
        images_per_second_per_core=per_second and per_second / outcome.engine.cores,
        model_loads=tally.model_loads,
        retries=record.RetryRecord(
            reads=tally.reads_retried, writes=tally.writes_retried, tasks=outcome.engine.retries
        ),
        peak_rss_mb=record.PeakRss(driver=round(peak_rss_mb(), 1), worker=round(tally.worker_rss_mb, 1)),
        cost=machine_cost(outcome.engine.machines, made),
        environment=environment(),
        residency=outcome.residency and record.ResidencyRecord(**asdict(outcome.residency)),
        files=dict(sorted(outcome.files.items())),
        cpu_kinds={kind: count for kind, count in sorted(tally.cpu_kinds.items()) if count},
        kept_cpu_kinds=outcome.kept_kinds,
        warnings={fault: count for fault, count in sorted(tally.warnings.items()) if count},
    )


def _model(outcome: RunOutcome) -> record.ModelRecord:
    model, exported = outcome.config.model, outcome.exported
    settings = {"precision": model.precision, "photos_per_call": model.photos_per_call, "cpu": model.cpu}
    found = exported.calibration and record.CalibrationRecord(**asdict(exported.calibration))
    facts = record.ModelRecord.model_fields.keys() - settings.keys() - {"calibration"}
    return record.ModelRecord(**{name: getattr(exported, name) for name in facts}, **settings, calibration=found)


def _pca(outcome: RunOutcome) -> record.PcaRecord:
    fitted, pca, applied = outcome.fitted, outcome.config.pca, outcome.applied
    if applied is not None:
        return applied.pca.model_copy(update={"applied": applied.applied})
    return record.PcaRecord(
        components=fitted.k,
        requested=pca.components,
        retained_variance=fitted.retained_variance,
        standardize=pca.standardize,
    )


def machine_cost(workers: int, images: int) -> record.Cost | None:
    """Return the cost of the machines, and of the photos they read, so far; None outside a cluster."""
    prices = json.loads(os.environ.get(MACHINES, "null"))
    if prices is None:
        return None
    hours: float = (time.time() - prices["began"]) / 3600
    leader = prices["leader_hour"]

    def amount(worker: float | None) -> float | None:
        if leader is None or worker is None:
            return None
        total: float = hours * (leader + workers * worker) + images * prices.get("image", 0.0)
        return round(total, 4)

    expected = prices.get("expected")
    shown = expected and {name: expected[name] for name in record.ExpectedCost.model_fields}
    return record.Cost(
        machine_hours=round(hours * (1 + workers), 4),
        amount=amount(prices["worker_hour"]),
        currency=prices["currency"],
        amount_at_most=amount(prices.get("worker_hour_at_most")),
        minutes=round(hours * 60, 2),
        left_out=tuple(prices.get("left_out", ())),
        expected=record.ExpectedCost(**shown) if shown else None,
    )
