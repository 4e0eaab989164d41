"""The configuration: what can be said, its defaults, and where each value came from. The only YAML reader."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from fruitscale.config.cluster_section import Cluster
from fruitscale.config.section import MOST, Count, Section

EngineName: TypeAlias = Literal["local", "spark", "dask"]
Architecture: TypeAlias = Literal[
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_v2_b0",
    "resnet50",
    "efficientnet_lite0",
    "patch_mean",
]
Runtime: TypeAlias = Literal["openvino", "tensorflow"]
Precision: TypeAlias = Literal["f32", "bf16"]

EU_REGIONS = ("eu-central-1", "eu-west-1", "eu-west-3", "eu-north-1", "eu-south-1", "eu-south-2")
PHOTO_GLOB = "**/*.{jpg,jpeg,png,webp,bmp,tif,tiff,gif}"
PATCH_GRID = 8
"""patch_mean has as many patches a side."""


class Input(Section):
    """Which photos."""

    uri: str = ""
    """The folder or s3:// prefix with the photos."""
    list: str | None = None
    """A CSV or Parquet file with a column `path` (relative to uri) and maybe `label`, instead of a listing."""
    include: tuple[str, ...] = (PHOTO_GLOB,)
    """Globs of the photos to take, upper or lower case alike."""
    exclude: tuple[str, ...] = ()
    """Globs of the photos to leave out."""
    label: Literal["parent", "none"] = "parent"
    """parent: a photo's label is the name of its folder; none: no labels."""
    limit: Count | None = None
    """Take only so many photos, the first in order of path."""
    new_since: tuple[str, ...] = ()
    """Run folders: take only the photos that none of these runs has."""


class Output(Section):
    """Where the run folder is."""

    uri: str = ""
    """The folder or s3:// prefix of the run."""
    overwrite: StrictBool = False
    """Replace another run that is there."""
    paths: Literal["plain", "hashed"] = "plain"
    """hashed: photos are named by a keyed hash (the key is in the environment: FRUITSCALE_PATH_KEY)."""


class Shards(Section):
    """How the photos are cut into tasks and parts."""

    images: Literal["auto"] | Count = "auto"
    """Photos a shard; auto: a thousandth of them, within 64 and 4096."""


class Images(Section):
    """How photos are decoded."""

    on_error: Literal["reject", "fail"] = "reject"
    """What a photo that can't be used does: it is listed in rejects.parquet, or it ends the run."""
    max_reject_fraction: float = Field(0.05, ge=0, le=1, strict=True)
    """With more rejects than this the run fails, after it has listed them."""
    max_pixels: Count = 100_000_000
    """A photo with more pixels is a reject."""
    exif_orientation: Literal["apply", "ignore"] = "apply"
    """Turn photos the way their EXIF orientation says."""


class Model(Section):
    """Which network, which weights, and what runs it."""

    architecture: Architecture = "mobilenet_v2"
    """The network, without its classification layer; patch_mean is none: the means of 8 × 8 patches, for `bench`."""
    weights: str = Field("imagenet", min_length=1)
    """imagenet (from Keras), packaged (with efficientnet_lite0), random, or a weights file (.h5); not with patch_mean."""
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    """The seed of random weights."""
    input_size: Annotated[int, Field(ge=32, le=2048, strict=True)] = 224
    """Photos are resized to a square of this many pixels a side."""
    runtime: Runtime = "openvino"
    """openvino is the fast one; tensorflow the reference; patch_mean needs neither."""
    precision: Precision = "f32"
    """bf16 is faster on CPUs that have it (AMX); its drift against f32 is recorded."""
    exported: str | None = None
    """A model file made by `fruitscale model export`; then no TensorFlow is needed."""

    @field_validator("input_size")
    @classmethod
    def _whole_patches(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("architecture") == "patch_mean" and value % PATCH_GRID:
            raise ValueError(f"patch_mean needs a multiple of {PATCH_GRID}")
        return value


class Pca(Section):
    """How many principal components, of what."""

    components: int | float = 0.95
    """A whole number is a count; a number between 0 and 1 the fraction of the variance to keep."""
    standardize: StrictBool = False
    """Scale each feature to unit variance first."""
    run: str | None = None
    """The folder of an earlier run: take its components as they are, and fit none. What `fruitscale apply` sets."""

    @field_validator("components", mode="before")
    @classmethod
    def _count_or_fraction(cls, value: object) -> int | float:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST:
            return value
        if isinstance(value, float) and 0 < value < 1:
            return value
        raise ValueError("neither a whole number from 1 nor a fraction between 0 and 1, both excluded")


class Spark(Section):
    """The Spark engine."""

    master: str | None = None
    """null: spark-submit's master where there is one, else local[slots]."""
    conf: dict[str, str] = Field({})
    """Spark's own settings, as spark.x.y: value."""

    @field_validator("conf", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {str(k): str(v).lower() if isinstance(v, bool) else str(v) for k, v in value.items()}


class Dask(Section):
    """The Dask engine."""

    scheduler: str | None = None
    """The address of a running scheduler (tcp://host:8786), or null for a cluster on this machine."""


class Storage(Section):
    """The object store, and where it must be."""

    region: str | None = None
    """The AWS region of the buckets."""
    endpoint: str | None = None
    """The URL of another S3-compatible store than AWS's."""
    path_style: Literal["auto"] | StrictBool = "auto"
    """Address buckets as a path; auto: only with an endpoint."""
    allowed_regions: tuple[str, ...] = EU_REGIONS
    """Regions where photos and results may be; the default is the EU's own."""
    residency: Literal["checked", "declared"] = "checked"
    """checked: ask the store where each bucket is, and stop when it is elsewhere or gives no answer."""
    place: str | None = None
    """With residency: declared, where the store is, in words; the record repeats it."""
    encryption: Literal["sse-s3", "sse-kms"] | None = None
    """Server-side encryption asked for with every object; null leaves it to the bucket."""
    kms_key: str | None = None
    """With sse-kms: the key's ARN."""
    concurrency: Count = 32
    """Requests under way at once, a worker."""
    timeout_seconds: float = Field(30, gt=0, strict=True, allow_inf_nan=False)
    """A request that takes longer is tried again."""
    retry_seconds: float = Field(600, ge=0, strict=True, allow_inf_nan=False)
    """For how long a request is tried again before the run fails."""
    staging_uri: str | None = None
    """Where cluster runs put what the machines install."""


class Gdpr(Section):
    """The GDPR audit before a cluster run."""

    enforce: StrictBool = True
    """Refuse a cluster run whose audit fails."""


class Bench(Section):
    """The benchmark."""

    engines: tuple[EngineName, ...] = Field(("local", "spark", "dask"), min_length=1)
    """Engines to measure; the first one is what the others are compared with."""
    slots: tuple[Literal["auto"] | Count, ...] = Field(("auto",), min_length=1)
    """Numbers of tasks at once to measure with; the first one is what the others are compared with."""
    images: tuple[Count, ...] = Field((1000,), min_length=1)
    """Numbers of photos to measure with; with two or more, a straight line is fitted to the times."""
    precisions: tuple[Precision, ...] = Field(("f32",), min_length=1)
    """Precisions to measure with; the first one is what the others are compared with."""
    reference: EngineName = "local"
    """The engine whose features the others' must be."""
    compare: Literal["process", "featurize"] = "process"
    """What is compared: the whole command, or its featurize stage."""
    repeats: Count = 20
    """Pairs at most; with 5 or more, they end once the interval of the ratio is narrower than 3 % either way."""
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    """The seed of the order of the runs, and of the bootstrap."""
    timeout_seconds: float = Field(3600, gt=0, strict=True, allow_inf_nan=False)
    """A run that takes longer is stopped, and is a failure."""
    price_per_core_hour: float | None = Field(None, ge=0, strict=True, allow_inf_nan=False)
    """What a core costs an hour, for the cost of a million images; null: no cost is shown."""


class Config(Section):
    """Everything that a run can be told."""

    engine: EngineName = "spark"
    """local, spark or dask."""
    slots: Literal["auto"] | Count = "auto"
    """Tasks at once on one machine; auto: one a core."""
    input: Input = Input()
    output: Output = Output()
    shards: Shards = Shards()
    images: Images = Images()
    model: Model = Model()
    pca: Pca = Pca()
    spark: Spark = Spark()
    dask: Dask = Dask()
    storage: Storage = Storage()
    gdpr: Gdpr = Gdpr()
    cluster: Cluster | None = None
    """Run on a cluster that is made for it; null: run here."""
    bench: Bench = Bench()
    report: StrictBool = True
    """Make report.html after the run."""


CHOICES: Mapping[str, tuple[str, ...]] = {
    "engine": typing.get_args(EngineName),
    "architecture": typing.get_args(Architecture),
    "runtime": typing.get_args(Runtime),
    "precision": typing.get_args(Precision),
}
