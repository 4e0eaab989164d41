"""Estimates how long a launch takes and what it costs, from the number of photos and a measured speed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fruitscale.clusters import prices
from fruitscale.clusters.prices import AnyCluster
from fruitscale.config.cluster_section import EmrServerless
from fruitscale.config.schema import Config
from fruitscale.errors import FruitscaleError, UsageError
from fruitscale.runs.record import RunRecord
from fruitscale.runs.run_folder import RunFolder
from fruitscale.storage import aws
from fruitscale.storage.residency import StorageAccess

DEFAULT_MS: Mapping[str, float] = MappingProxyType({"mobilenet_v2": 15.6, "efficientnet_lite0": 14.5})
"""Milliseconds of one core per photo (224 × 224, openvino, f32); docs/performance.md."""
DEFAULT_CPU = "AMD EPYC with AVX2"
START_MINUTES: Mapping[str, float] = MappingProxyType({"emr": 10.0, "emr-serverless": 4.0, "ec2-dask": 6.0})
"""Assumed time to start and end the machines, by kind; not measured on AWS."""
EFFICIENCY = 0.9
"""The fraction of the cores' time that stage 1 uses."""


@dataclass(frozen=True)
class MeasuredSpeed:
    """Milliseconds of one core per photo, and where that was measured."""

    ms_per_image: float
    measured: str


@dataclass(frozen=True)
class RunEstimate:
    """The expected time and cost of a launch: `low` if all spot machines are available, `high` at on-demand prices."""

    images: int
    cores: int
    minutes: float
    low: float | None
    high: float | None
    ms_per_image: float
    measured: str
    start_minutes: float
    left_out: tuple[str, ...]


def speed(config: Config, run: str | None = None) -> MeasuredSpeed | None:
    """Return the speed of the model: from `run`, or the latest run of this config that has one, or the documented one.

    Raises UsageError if `run` has another model, and what opening a run raises.
    """
    access = StorageAccess(config.storage)
    if run is not None:
        record = RunFolder(access.open(run)).read_record()
        found = None if record is None else _measured(config, run, record)
        if found is None:
            raise UsageError(
                f"{run} has no measured speed of this model.", "Give a complete run with the same model settings."
            )
        return found
    return next(_earlier(config, access), None) or _documented(config)


def n_cores(config: Config) -> int:
    """Return the number of cores that photos are processed on, at most. Raises ClusterError."""
    cluster = config.cluster
    assert cluster is not None
    if isinstance(cluster, EmrServerless):
        return cluster.executors * cluster.executor_cores
    ec2 = aws.client("ec2", config.storage)
    described = aws.ask(ec2, "describe_instance_types", InstanceTypes=list(cluster.worker_types))["InstanceTypes"]
    vcpus = min(each["VCpuInfo"]["DefaultVCpus"] for each in described)
    return int(vcpus) * prices.n_workers(cluster)


def estimate(config: Config, images: int, cores: int, measured: MeasuredSpeed) -> RunEstimate:
    """Return the expected time and cost of a launch for a number of photos."""
    cluster = config.cluster
    assert cluster is not None
    start = START_MINUTES[cluster.kind]
    minutes = start + images * measured.ms_per_image / 60_000 / (cores * EFFICIENCY)
    made = prices.lines(cluster, config.storage.kms_key)
    reading, unpriced = prices.requests(cluster, images, config.storage.kms_key)
    low, high = (hour and hour * minutes / 60 + reading for hour in (prices.at_best(made), prices.at_most(made)))
    left_out = (*prices.left_out(made), *unpriced)
    ms, source = measured.ms_per_image, measured.measured
    return RunEstimate(images, cores, minutes, low, high, ms, source, start, left_out)


def try_estimate(config: Config, images: int | None, run: str | None = None) -> RunEstimate | str:
    """Return the estimate, or why there is none. Raises what `speed` raises for a `run`."""
    if images is None:
        return "the photos could not be counted"
    measured = speed(config, run)
    if measured is None:
        return f"the speed of {config.model.architecture} is not known: name a run of this model with --measured"
    try:
        return estimate(config, images, n_cores(config), measured)
    except FruitscaleError as error:
        return f"the number of cores is not known: {error.message}"


def most(cluster: AnyCluster, kms_key: str | None, images: int | None, hours: float) -> float | None:
    """Return the price of all machines for a number of hours, and of reading the photos, at most."""
    hour = prices.at_most(prices.lines(cluster, kms_key))
    return None if hour is None else hour * hours + prices.requests(cluster, images or 0, kms_key)[0]


def _earlier(config: Config, access: StorageAccess) -> Iterator[MeasuredSpeed]:
    """Yield the speeds in the records of the runs that this config names, latest first."""
    runs: Iterable[str | None] = (config.output.uri, *reversed(config.input.new_since), config.pca.run)
    for run in runs:
        try:
            record = RunFolder(access.open(run)).read_record() if run else None
        except FruitscaleError:  # there may be no permission to read it here: no reason to fail
            continue
        if run and record is not None and (found := _measured(config, run, record)):
            yield found


def _measured(config: Config, run: str, record: RunRecord) -> MeasuredSpeed | None:
    model, made = config.model, record.model
    given = (model.architecture, model.runtime, model.precision, model.input_size)
    if (made.architecture, made.runtime, made.precision, made.input_size) != given:
        return None
    per_core = record.images_per_second_per_core
    return MeasuredSpeed(1000 / per_core, f"in {run}, on {record.environment.cpu}") if per_core else None


def _documented(config: Config) -> MeasuredSpeed | None:
    model = config.model
    ms = DEFAULT_MS.get(model.architecture)
    if ms is None or (model.runtime, model.precision, model.input_size) != ("openvino", "f32", 224):
        return None
    return MeasuredSpeed(ms, f"by docs/performance.md, on {DEFAULT_CPU}")
