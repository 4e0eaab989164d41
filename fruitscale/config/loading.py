"""Loads a configuration: defaults, file, `--set` and flags merged, with the source of each value. The only YAML reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError

from fruitscale.config.messages import explain
from fruitscale.config.regular_files import read_config
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError

Given: TypeAlias = str | Path | Mapping[str, Any] | Config
"""A configuration in Python: the path of a YAML file, a mapping, or a Config."""


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration, and the source of the value of each dotted key."""

    config: Config
    sources: Mapping[str, str]


@dataclass(frozen=True)
class InheritedSettings:
    """Settings taken from an earlier run, and the folder of that run."""

    uri: str
    values: Mapping[str, Any]


WHOLE = ("spark.conf", "cluster")
"""Keys whose mappings are values: their inner keys may contain dots, or depend on the kind."""

MOST_VALUES = 10_000
"""Values that a config may have, with its aliases expanded."""
FLAGS = {"pca.run": "--pca", "input.new_since": "--new-since"}
"""Flags that are not named after the last word of their key."""


def load(
    path: str | Path | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    earlier: InheritedSettings | None = None,
) -> LoadedConfig:
    """Merge defaults, an earlier run's settings, a file, `--set a.b=c` and flags; each overrides those before it.

    `path` is a file or a mapping. `flags` maps dotted keys to values; None means not given. Raises UsageError with every
    problem in one message.
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


def as_config(
    given: Given | None, earlier: InheritedSettings | None = None, flags: Mapping[str, object] | None = None
) -> Config:
    """Return a Config from a file, a mapping or a Config. `earlier` settings do not apply to a Config, which is complete.

    `flags` maps dotted keys to values that override it; None means not given. Raises UsageError.
    """
    flags = {key: value for key, value in (flags or {}).items() if value is not None}
    if isinstance(given, Config):
        return load(given.model_dump(), flags=flags).config if flags else given
    if isinstance(given, Mapping) and earlier is None and not flags:
        return from_mapping(given)
    return load(given, flags=flags, earlier=earlier).config


def from_mapping(values: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> Config:
    """Validate a nested mapping. Raises UsageError, which names each wrong key and the nearest right one.

    `sources` names the source of each dotted key's value.
    """
    try:
        config = Config.model_validate(dict(values))
        config.model_dump_json()  # as the run folder stores it: fails now if some text is not UTF-8
    except ValidationError as error:
        lines = explain(error.errors(), sources or {})
    except ValueError as error:
        lines = [f"it can't be written as JSON: {error}"]
    else:
        return config
    raise UsageError(
        "The configuration can't be used:\n" + "\n".join(f"  {line}" for line in lines),
        "`fruitscale config show` prints every key with its default.",
    )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file with a mapping. Raises UsageError for anything else; tags are never executed."""
    try:
        text = read_config(path).decode()
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
    """Split `a.b=c` into the dotted key and the value, parsed as YAML. Raises UsageError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text}: expected KEY=VALUE.", "For example: --set pca.components=50")
    try:
        return key.strip(), _parse_yaml(value)
    except yaml.YAMLError:
        return key.strip(), value


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dotted key with its value. A mapping that is a value (spark.conf, cluster) is not taken apart."""
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
    """Return the values of a complete configuration (as JSON) that differ from the defaults."""
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
    """Return the value of a YAML text; no tag runs code. Raises YAMLError for anything invalid."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_size(node)
        # deep: a value that contains itself (`&a [*a]`) is an error here, instead of endless later
        return None if node is None else loader.construct_object(node, deep=True)
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML raises these for 2024-13-45, `!!bool x`, `!!timestamp x` and thousands of brackets
        raise yaml.MarkedYAMLError(problem=f"{error}") from None


def _check_size(root: yaml.Node | None) -> None:
    """Raise MarkedYAMLError for a text whose aliases repeat its values too often: a few lines can hold billions."""
    sizes: dict[int, int] = {}
    stack = [] if root is None else [(root, False)]
    while stack:
        node, is_counted = stack.pop()
        inner = _inner(node)
        if is_counted:
            size = sizes[id(node)] = 1 + sum(sizes[id(one)] for one in inner)
            if size > MOST_VALUES:
                problem = f"with its aliases it has more than {MOST_VALUES:,} values"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        elif id(node) not in sizes:
            sizes[id(node)] = 0  # within itself: construct_object reports that
            stack.append((node, True))
            stack += [(one, False) for one in inner]


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


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
