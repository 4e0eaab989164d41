"""The configuration: what can be said, its defaults, and where each value came from. The only YAML reader."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import Field, StrictBool, ValidationError, ValidationInfo, field_validator

from fruitscale.cluster_config import KINDS, Cluster
from fruitscale.errors import UsageError
from fruitscale.section import MOST, Count, Section

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
WHOLE = ("spark.conf", "cluster")
"""Keys whose mappings are values: their own keys may have dots in them, or depend on the kind."""
MOST_SHOWN = 200
"""Characters of a wrong value that a message repeats."""
FLAGS = {"pca.run": "--pca", "input.new_since": "--new-since"}
"""Flags that are not named as the last word of their key."""


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


Given: TypeAlias = str | Path | Mapping[str, Any] | Config
"""A configuration as Python users give it: the path of a YAML file, a mapping, or a Config."""


@dataclass(frozen=True)
class Loaded:
    """A configuration, and for each of its dotted keys where the value came from."""

    config: Config
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Earlier:
    """Settings that an earlier run had, and where that run is."""

    uri: str
    values: Mapping[str, Any]


def load(
    path: str | Path | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    earlier: Earlier | None = None,
) -> Loaded:
    """Merge the defaults, an earlier run's settings, a file, `--set a.b=c` and flags, each stronger than the one before.

    `path` is a file, or what would be in one. `flags` maps dotted keys to values; None means not given.
    Raises UsageError, with every problem in one message.
    """
    layers: list[tuple[str, str, object]] = []
    if earlier is not None:
        layers += [(key, earlier.uri, value) for key, value in leaves(earlier.values)]
    if path is not None:
        name, values = ("config", path) if isinstance(path, Mapping) else (str(path), read_yaml(path))
        layers += [(key, name, value) for key, value in leaves(values)]
    for assignment in sets:
        key, value = parse_assignment(assignment)
        layers += [(inner, f"--set {key}", leaf) for inner, leaf in leaves({key: value})]
    for key, value in (flags or {}).items():
        if value is not None:
            layers.append((key, FLAGS.get(key) or f"--{key.removesuffix('.uri').rsplit('.', 1)[-1]}", value))

    tree: dict[str, Any] = {}
    sources = dict.fromkeys((key for key, _ in leaves(Config().model_dump())), "default")
    for key, source, value in layers:
        _put(tree, key, value)
        sources = {k: s for k, s in sources.items() if not k.startswith(f"{key}.")} | {key: source}
    return Loaded(from_mapping(tree, sources), sources)


def as_config(given: Given, earlier: Earlier | None = None) -> Config:
    """Return the configuration that a file, a mapping or a Config is; a Config says everything, so nothing is earlier.

    Raises UsageError.
    """
    if isinstance(given, Config):
        return given
    if isinstance(given, Mapping) and earlier is None:
        return from_mapping(given)
    return load(given, earlier=earlier).config


def from_mapping(values: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> Config:
    """Validate a nested mapping. Raises UsageError that names each wrong key and the nearest right one.

    `sources` tells for dotted keys where their values came from.
    """
    try:
        config = Config.model_validate(dict(values))
        config.model_dump_json()  # the run folder keeps it so: text that UTF-8 can't hold, say, is told now
    except ValidationError as error:
        lines = list(dict.fromkeys(_explain(problem, sources or {}) for problem in error.errors()))
    except ValueError as error:
        lines = [f"it can't be written as JSON: {error}"]
    else:
        return config
    raise UsageError(
        "The configuration can't be used:\n" + "\n".join(f"  {line}" for line in lines),
        "`fruitscale config show` prints every key with its default.",
    )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping. Raises UsageError for anything else; tags are never executed."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"The config file {path} can't be read: {_reason(error)}.", "Check --config.") from None
    try:
        values = _parse_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UsageError(f"{path}{line}: {problem}.", "Compare it with configs/quickstart.yaml.") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"{path} is not a mapping of keys to values.", "Compare it with configs/quickstart.yaml.")
    return values


def parse_assignment(text: str) -> tuple[str, object]:
    """Split `a.b=c` into the dotted key and the value, read as YAML. Raises UsageError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text}: a dotted key, `=` and a value are expected.", "Like --set pca.components=50")
    try:
        return key.strip(), _parse_yaml(value)
    except yaml.YAMLError:
        return key.strip(), value


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dotted key with its value. A mapping that is itself a value (spark.conf, cluster) stays whole."""
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and not dotted.startswith(WHOLE):
            yield from leaves(value, f"{dotted}.")
        else:
            yield dotted, value


def to_yaml(values: Mapping[str, Any]) -> str:
    """Write a configuration as YAML that `read_yaml` reads."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=100)


def differing(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values of a whole configuration, as it is in JSON, that are not the defaults."""
    defaults = dict(leaves(Config().model_dump(mode="json")))
    tree: dict[str, Any] = {}
    for key, value in leaves(values):
        if value != defaults.get(key):
            _put(tree, key, value)
    return tree


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration, for editors."""
    return Config.model_json_schema()


def _parse_yaml(text: str) -> Any:  # noqa: ANN401  YAML holds anything
    """Return the one value of a YAML text; no tag runs code. Raises YAMLError for everything that is wrong with it."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        # deep: a value that holds itself (`&a [*a]`) is an error here, not endless later
        return None if node is None else loader.construct_object(node, deep=True)
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        # What PyYAML raises for 2024-13-45, `!!bool x`, `!!timestamp x`, and brackets by the thousand
        raise yaml.MarkedYAMLError(problem=f"{error}") from None


def _put(tree: dict[str, Any], dotted: str, value: object) -> None:
    *parents, last = dotted.split(".")
    for i, parent in enumerate(parents):
        if ".".join(parents[: i + 1]) == "spark.conf":  # Spark's own keys have dots in them
            conf = tree.get(parent)
            own = ".".join([*parents[i + 1 :], last])
            tree[parent] = {**(conf if isinstance(conf, dict) else {}), own: value}
            return
        branch = tree.get(parent)
        tree[parent] = tree = dict(branch) if isinstance(branch, dict) else {}
    tree[last] = value


def _explain(problem: Any, sources: Mapping[str, str]) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    location = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        key = ".".join(_without_kind(location))
        known = _keys_at(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        parent = _without_kind(location[:-1])
        meant = f"did you mean {'.'.join([*parent, near[0]])}?" if near else f"there are: {', '.join(known)}"
        told = f"no such key; {meant}"
    elif problem["type"].startswith("union_tag_"):
        key = ".".join([*location, "kind"])
        told = f"{', '.join(KINDS)} are the kinds; it is {_shown(problem['ctx'].get('tag', 'not set'))}"
    else:
        key = ".".join(_without_kind(list(_fields_of(location))))
        message = problem["msg"].removeprefix("Value error, ")
        told = f"{message[:1].lower()}{message[1:]}; it is {_shown(problem['input'])}"
    source = next((where for k, where in sources.items() if f"{k}.".startswith(f"{key}.") and where != "default"), None)
    return f"{key}: {told}" + (f" (from {source})" if source else "")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # thousands of digits
        return "a very large number"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _fields_of(location: Sequence[str]) -> Iterator[str]:
    """Yield what of an error's place is keys; after them pydantic names the branch of a union, or an index."""
    for i, part in enumerate(location):
        if part not in _keys_at(location[:i]):
            return
        yield part


def _without_kind(location: list[str]) -> list[str]:
    """Leave out what pydantic puts after `cluster`: its kind, which is no key."""
    return location[:1] + location[2:] if location[:1] == ["cluster"] and location[1:2] else location


def _keys_at(location: Sequence[str]) -> list[str]:
    section: type[Section] = Config
    if location[:1] == ["cluster"]:
        if len(location) == 1:
            return sorted(KINDS)
        section, location = KINDS[location[1]], location[2:]
    for part in location:
        field = section.model_fields.get(part)
        inner = field.annotation if field else None
        if isinstance(inner, UnionType) or not isinstance(inner, type) or not issubclass(inner, Section):
            return []
        section = inner
    return sorted(section.model_fields)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


CHOICES: Mapping[str, tuple[str, ...]] = {
    "engine": typing.get_args(EngineName),
    "architecture": typing.get_args(Architecture),
    "runtime": typing.get_args(Runtime),
    "precision": typing.get_args(Precision),
}
