"""Loads a configuration: defaults, file, `--set` and flags merged, with the source of each value. The only YAML reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError

from fruitscale.config.messages import explain
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError

Given: TypeAlias = str | Path | Mapping[str, Any] | Config
"""A configuration as Python users give it: the path of a YAML file, a mapping, or a Config."""


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration, and for each of its dotted keys where the value came from."""

    config: Config
    sources: Mapping[str, str]


@dataclass(frozen=True)
class InheritedSettings:
    """Settings that an earlier run had, and where that run is."""

    uri: str
    values: Mapping[str, Any]


WHOLE = ("spark.conf", "cluster")
"""Keys whose mappings are values: their own keys may have dots in them, or depend on the kind."""

FLAGS = {"pca.run": "--pca", "input.new_since": "--new-since"}
"""Flags that are not named as the last word of their key."""


def load(
    path: str | Path | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    earlier: InheritedSettings | None = None,
) -> LoadedConfig:
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
    return LoadedConfig(from_mapping(tree, sources), sources)


def as_config(given: Given, earlier: InheritedSettings | None = None) -> Config:
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
        lines = list(dict.fromkeys(explain(problem, sources or {}) for problem in error.errors()))
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


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
