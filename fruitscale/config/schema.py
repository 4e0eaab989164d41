"""The configuration: every setting, its type and its default."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from fruitscale.config.cluster_section import Cluster
from fruitscale.config.keras_names import KerasName
from fruitscale.config.model_file_section import ModelOutput, Preprocess
from fruitscale.config.section import MOST, MOST_CONCURRENCY, MOST_SECONDS, Count, Section, Slots

EngineName: TypeAlias = Literal["local", "spark", "dask"]
Architecture: TypeAlias = Literal[KerasName, "efficientnet_lite0", "patch_mean", "file"]
Runtime: TypeAlias = Literal["openvino", "tensorflow"]
Precision: TypeAlias = Literal["f32", "bf16", "int8"]
CpuRule: TypeAlias = Literal["any", "same", "portable"]

EU_REGIONS = ("eu-central-1", "eu-west-1", "eu-west-3", "eu-north-1", "eu-south-1", "eu-south-2", "eusc-de-east-1")
PHOTO_GLOB = "**/*.{jpg,jpeg,jfif,jpe,mpo,png,webp,bmp,tif,tiff,gif,avif,heic,heif,hif}"
MOST_PHOTOS_PER_CALL = 64
PATCH_GRID = 8
"""patch_mean has this many patches per side."""


class Input(Section):
    """The photos."""

    uri: str = ""
    """The folder or s3:// prefix with the photos."""
    list: str | None = None
    """A CSV or Parquet file with a column `path` (relative to uri) and optionally `label`, instead of a listing."""
    include: tuple[str, ...] = (PHOTO_GLOB,)
    """Globs of photos to include, ignoring case; with the default, unknown extensions are recognized by their content, too."""
    exclude: tuple[str, ...] = ()
    """Globs of photos to exclude, ignoring case."""
    hidden: Literal["skip", "take"] = "skip"
    """skip: leave out hidden, deleted and system files (.trashed-*, ._*, @eaDir, __MACOSX …); take: treat them like others."""
    label: Literal["parent", "path", "none"] = "parent"
    """parent: a photo's label is the name of its folder; path: the folder's path below uri; none: photos have no labels."""
    limit: Count | None = None
    """Maximum number of photos: the first in order of path; null: all."""
    new_since: tuple[str, ...] = ()
    """Run folders: process only photos that none of these runs has."""
    max_removed_fraction: float = Field(0.2, ge=0, le=1, strict=True)
    """Leave a complete run unchanged if more than this fraction of its photos is gone: part of a share may be missing.

    Not checked below 10 missing photos, with --overwrite, for lists, or if settings that choose photos have changed.
    """


class Output(Section):
    """The run folder."""

    uri: str = ""
    """The folder or s3:// prefix of the run."""
    overwrite: StrictBool = False
    """Replace another run in this folder."""
    keep_old: StrictBool = True
    """Keep a complete run until the one that replaces it is complete, which takes space for both; false: remove it first.

    If only photos changed, it is always kept: its features are used.
    """
    paths: Literal["plain", "hashed"] = "plain"
    """hashed: store keyed hashes instead of paths (the key is in the environment variable FRUITSCALE_PATH_KEY)."""


class Shards(Section):
    """How photos are divided into tasks and parts."""

    images: Literal["auto"] | Count = "auto"
    """Photos per shard; auto: a thousandth of all photos, between 64 and 4096."""


class Images(Section):
    """How photos are decoded."""

    on_error: Literal["reject", "fail"] = "reject"
    """reject: list an unusable photo in rejects.parquet; fail: end the run."""
    max_reject_fraction: float = Field(0.05, ge=0, le=1, strict=True)
    """The run fails if a larger fraction of the photos is rejected; the rejects are listed first. 0: no reject is allowed."""
    allowed_rejects: Annotated[int, Field(ge=0, le=MOST, strict=True)] = 5
    """Up to this many rejects never fail a run by their fraction (unless that is 0), so that small runs can have some."""
    max_pixels: Count | None = None
    """Photos with more pixels are rejected; null: only `max_decode_mb` counts."""
    max_decode_mb: Count = 512
    """Photos whose decoding takes more memory (MB of 10^6 bytes) are rejected; large JPEGs are decoded at a smaller scale."""
    max_bytes: Count = 256_000_000
    """Larger files are rejected without being read."""
    max_seconds: Count = 60
    """CPU time for decoding a photo; photos that need more are rejected, when their task is retried."""
    exif_orientation: Literal["apply", "ignore"] = "apply"
    """apply: rotate photos by their EXIF orientation; ignore: leave them as stored."""


class Model(Section):
    """The network, its weights and its runtime."""

    architecture: Architecture = "mobilenet_v2"
    """The network, without its head: one of Keras Applications, efficientnet_lite0, file (model.file), or patch_mean (none)."""
    weights: str = Field("imagenet", min_length=1)
    """imagenet (by Keras), packaged (efficientnet_lite0), random, or a weights file (.h5); unused by patch_mean and file."""
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    """The seed of random weights."""
    input_size: Annotated[int, Field(ge=32, le=2048, strict=True)] = 224
    """Photos are resized to a square of this many pixels per side."""
    runtime: Runtime = "openvino"
    """openvino: fast; tensorflow: the reference; patch_mean needs neither."""
    precision: Precision = "f32"
    """bf16: faster on CPUs that support it (AMX), with slightly different features; int8: quantized on photos of the run."""
    photos_per_call: Annotated[int, Field(ge=1, le=MOST_PHOTOS_PER_CALL, strict=True)] = 1
    """Photos per inference call; groups of 4 can be faster in bf16 and int8."""
    cpu: CpuRule = "any"
    """A run resumed on another kind of CPU: any warns, same refuses. portable: one instruction set (AVX2) on every CPU."""
    exported: str | None = None
    """A model file written by `fruitscale model export`: TensorFlow is then not needed."""
    file: str | None = Field(None, min_length=1, validate_default=True)
    """With architecture: file, the network: .onnx, .xml (OpenVINO, with its .bin), .keras, or a SavedModel folder."""
    preprocess: Preprocess = Preprocess()
    output: ModelOutput = ModelOutput()

    @field_validator("input_size")
    @classmethod
    def _whole_patches(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("architecture") == "patch_mean" and value % PATCH_GRID:
            raise ValueError(f"a multiple of {PATCH_GRID} with patch_mean")
        return value

    @field_validator("runtime")
    @classmethod
    def _runtime_of_file(cls, value: Runtime, info: ValidationInfo) -> Runtime:
        if info.data.get("architecture") == "file" and value != "openvino":
            raise ValueError("openvino with architecture: file, which is converted to it")
        return value

    @field_validator("file")
    @classmethod
    def _file_if_used(cls, value: str | None, info: ValidationInfo) -> str | None:
        is_file = info.data.get("architecture") == "file"
        if is_file and value is None and info.data.get("exported") is None:
            raise ValueError("the path of your network, because architecture is file")
        if value is not None and not is_file:
            raise ValueError("null without architecture: file")
        return value

    @field_validator("preprocess", "output")
    @classmethod
    def _only_of_file(cls, value: Section, info: ValidationInfo) -> Section:
        if value != type(value)() and info.data.get("architecture") != "file":
            raise ValueError("left at its defaults without architecture: file")
        return value


class Pca(Section):
    """The principal component analysis."""

    components: int | float = 0.95
    """A whole number: the number of components; a number between 0 and 1: the fraction of the variance to keep."""
    standardize: StrictBool = False
    """Scale each feature to unit variance first."""
    run: str | None = None
    """The folder of an earlier run whose components are applied instead of fitting; set by `fruitscale apply`."""

    @field_validator("components", mode="before")
    @classmethod
    def _count_or_fraction(cls, value: object) -> int | float:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST:
            return value
        if isinstance(value, float) and 0 < value < 1:
            return value
        raise ValueError("a whole number from 1 on, or a fraction between 0 and 1 (both excluded)")


class Spark(Section):
    """The Spark engine."""

    master: str | None = None
    """The master URL; null: that of spark-submit if there is one, else local[slots]."""
    conf: dict[str, str] = Field({})
    """Spark settings, as spark.x.y: value."""

    @field_validator("conf", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        if inner := next((key for key, each in value.items() if isinstance(each, Mapping | list)), None):
            raise ValueError(
                f"one text, number, true or false for each setting ({inner} has several): spark.conf is {{name: value}}"
            )
        return {str(k): str(v).lower() if isinstance(v, bool) else str(v) for k, v in value.items()}


class Dask(Section):
    """The Dask engine."""

    scheduler: str | None = None
    """The address of a running scheduler (tcp://host:8786); null: start a cluster on this machine."""


class Storage(Section):
    """The object store, and the regions it may be in."""

    region: str | None = None
    """The AWS region of the buckets."""
    endpoint: str | None = None
    """URL of an S3-compatible store; null: AWS."""
    path_style: Literal["auto"] | StrictBool = "auto"
    """Path-style addressing of buckets; auto: only with an endpoint."""
    allowed_regions: tuple[str, ...] = EU_REGIONS
    """Regions in which photos and results may be stored; default: the EU's regions."""
    residency: Literal["checked", "declared"] = "checked"
    """checked: ask the store for each bucket's region, and stop if it is another one or unknown; declared: do not ask."""
    place: str | None = None
    """With residency: declared, where the store is, in words; copied into the record."""
    encryption: Literal["sse-s3", "sse-kms"] | None = None
    """Server-side encryption requested for every object; null: the bucket's default."""
    kms_key: str | None = None
    """With sse-kms: the ARN of the key."""
    concurrency: Annotated[int, Field(ge=1, le=MOST_CONCURRENCY, strict=True)] = 32
    """Concurrent requests per worker."""
    timeout_seconds: float = Field(30, gt=0, le=MOST_SECONDS, strict=True, allow_inf_nan=False)
    """Timeout of a request, in seconds; it is then retried."""
    retry_seconds: float = Field(600, ge=0, le=MOST_SECONDS, strict=True, allow_inf_nan=False)
    """How long a request is retried before the run fails, in seconds."""
    staging_uri: str | None = None
    """Where cluster runs upload what the machines install."""


class Gdpr(Section):
    """The GDPR audit before a cluster run."""

    enforce: StrictBool = True
    """Refuse to launch a cluster if the audit fails."""


class Bench(Section):
    """The benchmark."""

    engines: tuple[EngineName, ...] = Field(("local", "spark", "dask"), min_length=1)
    """Engines to measure; the others are compared with the first."""
    slots: tuple[Literal["auto"] | Slots, ...] = Field(("auto",), min_length=1)
    """Numbers of concurrent tasks to measure; the others are compared with the first."""
    images: tuple[Count, ...] = Field((1000,), min_length=1)
    """Numbers of photos to measure; with two or more, a line is fitted to the times."""
    precisions: tuple[Precision, ...] = Field(("f32",), min_length=1)
    """Precisions to measure; the others are compared with the first."""
    reference: EngineName = "local"
    """The engine whose features the others must reproduce."""
    compare: Literal["process", "featurize"] = "process"
    """What is compared: the time of the whole command (process), or of its featurize stage."""
    repeats: Count = 20
    """Maximum number of pairs; from 5 on, they end once the ratio's interval is narrower than ±3 %."""
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    """Seed of the order of runs and of the bootstrap."""
    timeout_seconds: float = Field(3600, gt=0, le=MOST_SECONDS, strict=True, allow_inf_nan=False)
    """Timeout of a run, in seconds; it then counts as failed."""
    price_per_core_hour: float | None = Field(None, ge=0, strict=True, allow_inf_nan=False)
    """Price per core and hour, to show the cost of a million images; null: no cost is shown."""


class Config(Section):
    """All settings."""

    engine: EngineName = "spark"
    """local, spark or dask."""
    slots: Literal["auto"] | Slots = "auto"
    """Concurrent tasks per machine; auto: one per core."""
    worker_timeout_seconds: float = Field(300, gt=0, strict=True, allow_inf_nan=False)
    """How long a run waits while Spark or Dask has no worker, in seconds; it then fails."""
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
    """Run on a temporary cluster; null: run here."""
    bench: Bench = Bench()
    report: StrictBool = True
    """Write report.html after the run."""


CHOICES: Mapping[str, tuple[str, ...]] = {
    "engine": typing.get_args(EngineName),
    "architecture": typing.get_args(Architecture),
    "runtime": typing.get_args(Runtime),
    "precision": typing.get_args(Precision),
}
