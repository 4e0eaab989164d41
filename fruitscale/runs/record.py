"""The run record: the contents of `run.json`. Its names are public: add, never rename."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fruitscale.runs import html_table


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Fingerprints(_Record):
    """Hashes of everything that the features, and the features and the PCA, depend on."""

    features: str
    pca: str


class EngineRecord(_Record):
    """The engine; `cores` counts concurrent tasks over all workers, `machines` those with workers."""

    name: str
    version: str
    master: str | None
    cores: int
    workers: int
    machines: int = 1
    ui: str | None


class InputRecord(_Record):
    """The input; `labels` counts distinct labels; the hash covers path, label and size of each image.

    `not_taken` counts the files that were left out, by extension or reason; `archived` the photos in archive classes of S3,
    by class; `shared_labels` counts the labels that several folders have.
    """

    uri: str
    images: int
    bytes: int
    labels: int
    manifest_sha256: str
    not_taken: dict[str, int] = {}
    archived: dict[str, int] = {}
    shared_labels: int = 0


class OutputRecord(_Record):
    """The run folder."""

    uri: str


class CalibrationRecord(_Record):
    """How int8 was calibrated: on how many photos, the sha256 of their pixels, and how far its features are from f32's.

    The photos are the usable ones with the smallest sha256 of their path. `relative` is the mean distance relative to the
    length of f32's features, `cosine` the mean similarity, `neighbours` the fraction of the 10 nearest neighbours that stay.
    """

    photos: int
    sha256: str
    relative: float
    cosine: float
    neighbours: float


class ModelRecord(_Record):
    """The model; `sha256` is that of the exported bytes that every worker loads."""

    architecture: str
    weights: str
    weights_sha256: str
    sha256: str
    pretrained: bool
    runtime: str
    precision: str
    input_size: int
    features: int
    photos_per_call: int = 1
    cpu: str = "any"
    calibration: CalibrationRecord | None = None
    preprocess: str = ""
    """Of a network that came as a file: how pixels were prepared, as JSON."""
    output: str = ""
    """Of a network that came as a file: which output became features, as JSON."""


class ImageCounts(_Record):
    """Numbers of images featurized and rejected; `featurized` includes `resumed`."""

    featurized: int
    rejected: int
    resumed: int


class RejectLimit(_Record):
    """How many rejects were `allowed`; `above_fraction`: more than images.max_reject_fraction, but few enough to allow."""

    fraction: float
    allowed: int
    above_fraction: bool


class AppliedPca(_Record):
    """The earlier run that fitted the components; `sha256` is that of its pca.npz."""

    uri: str
    id: str
    sha256: str


class PcaRecord(_Record):
    """The fit, this run's or an earlier one's; `requested` is the config's value, `retained_variance` a fraction."""

    components: int
    requested: int | float
    retained_variance: float
    standardize: bool
    applied: AppliedPca | None = None


class StageSeconds(_Record):
    """Wall-clock seconds of each stage on the driver; stages never overlap."""

    list: float
    export: float
    start: float
    featurize: float
    fit: float
    project: float
    total: float


class WorkerSeconds(_Record):
    """Seconds in the tasks of stage 1, summed over all tasks."""

    load: float
    read: float
    decode: float
    infer: float
    write: float


class RetryRecord(_Record):
    """Numbers of requests and tasks that were retried."""

    reads: int
    writes: int
    tasks: int


class PeakRss(_Record):
    """Peak resident memory (VmHWM), in MB of 10^6 bytes; `worker` is the largest."""

    driver: float
    worker: float


class ExpectedCost(_Record):
    """The estimate made before a launch: `low` if all spot machines are available, `high` at on-demand prices."""

    images: int
    minutes: float
    low: float | None
    high: float | None
    ms_per_image: float
    measured: str
    """Where ms_per_image was measured."""


class Cost(_Record):
    """The cost of a cluster's machines at the prices in the config; `amount` is null without prices."""

    machine_hours: float
    amount: float | None
    """At spot prices for machines that were requested as spot."""
    currency: str
    amount_at_most: float | None = None
    """The cost if every spot machine was replaced by an on-demand one."""
    minutes: float | None = None
    """From the request for machines to the end of the run."""
    left_out: tuple[str, ...] = ()
    """What has no price in the config."""
    expected: ExpectedCost | None = None
    """The estimate made before the launch; null: there was none."""


class EnvironmentRecord(_Record):
    """Where the run ran; `packages` maps names to versions."""

    python: str
    platform: str
    cpu: str
    packages: dict[str, str]


class ResidencyRecord(_Record):
    """Where the store is, and whether that was checked or declared."""

    region: str | None
    endpoint: str | None
    place: str | None
    rule: str


class RunRecord(_Record):
    """Everything known about a complete run."""

    schema_: Literal[1] = 1
    id: str
    status: Literal["complete"] = "complete"
    fruitscale: str
    fingerprints: Fingerprints
    engine: EngineRecord
    input: InputRecord
    output: OutputRecord
    model: ModelRecord
    images: ImageCounts
    pca: PcaRecord
    seconds: StageSeconds
    worker_seconds: WorkerSeconds
    images_per_second: float | None
    images_per_second_per_core: float | None
    model_loads: int
    retries: RetryRecord
    peak_rss_mb: PeakRss
    cost: Cost | None
    environment: EnvironmentRecord
    residency: ResidencyRecord | None
    cpu_kinds: dict[str, int] = {}
    """Photos computed by this run, by the kind of CPU (the instruction set of the kernels)."""
    kept_cpu_kinds: tuple[str, ...] = ()
    """The kinds of CPU that computed the photos that this run kept."""
    erased: int = 0
    """Photos erased since the run was made."""
    reject_limit: RejectLimit | None = None
    files: dict[str, str] = Field(default_factory=dict)
    """The sha256 of every other file of the run, by name."""
    sha256: str | None = None
    """The checksum of this record: that of its JSON with sorted keys and without this field."""
    warnings: dict[str, int] = {}
    """Photos that were read though their files have a harmless fault, by fault; as of the run, also after an erasure."""

    model_config = ConfigDict(
        frozen=True, extra="allow", alias_generator=lambda name: name.rstrip("_"), populate_by_name=True
    )

    def to_json(self) -> str:
        """Return the JSON text of run.json."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def _repr_html_(self) -> str:
        """Return the record as a notebook shows it."""
        images, pca, speed = self.images, self.pca, self.images_per_second
        fitted = "" if pca.applied is None else f", fitted by {pca.applied.uri}"
        return html_table.facts(
            f"Run {self.id}: {self.status}",
            [
                (
                    "photos",
                    f"{images.featurized:,} featurized, {images.rejected:,} rejected; labels: {self.input.labels:,}",
                ),
                ("components", f"{pca.components:,} of {self.model.features:,}{fitted}"),
                ("variance kept", f"{pca.retained_variance:.2%}"),
                (
                    "model",
                    f"{self.model.architecture}, {self.model.weights}, {self.model.runtime} {self.model.precision}",
                ),
                ("engine", f"{self.engine.name} {self.engine.version}"),
                ("time", f"{self.seconds.total:,.1f} s" + (f", {speed:,.0f} photos/s" if speed else "")),
                ("results", self.output.uri),
            ],
        )

    def sealed(self) -> RunRecord:
        """Return this record with its checksum."""
        return self.model_copy(update={"sha256": self._checksum()})

    @property
    def is_intact(self) -> bool:
        """Whether the record is as it was written, maybe by a version with fewer fields: it has the right checksum."""
        return self.sha256 == self._checksum(of_file=True)

    def _checksum(self, *, of_file: bool = False) -> str:
        """Return the checksum of all fields; `of_file`: of those in the file that was read."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"sha256"}, exclude_unset=of_file)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
