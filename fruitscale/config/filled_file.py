"""Sets values in a YAML config file and leaves its comments, order and other lines as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from fruitscale.errors import UsageError


def fill(text: str, settings: Mapping[str, Any]) -> str:
    """Return a config file's text with settings by dotted key, such as cluster.subnets. Raises UsageError."""
    filled = text
    for key, value in settings.items():
        filled = _set(filled, key.split("."), json.dumps(value, ensure_ascii=False))
    if not _holds(filled, yaml.safe_load(text) or {}, settings):
        raise UsageError("The settings can't be put into this file without changing others.", "Set them yourself.")
    return filled


def _holds(text: str, values: dict[str, Any], settings: Mapping[str, Any]) -> bool:
    """Return whether a file's text has its former values and the settings, and nothing else."""
    for key, value in settings.items():
        *sections, name = key.split(".")
        place = values
        for section in sections:
            place[section] = place.get(section) or {}
            place = place[section]
        place[name] = value
    try:
        return bool(yaml.safe_load(text) == values)
    except yaml.YAMLError:
        return False


def _set(text: str, path: list[str], value: str) -> str:
    """Set one value: replace it, or add its key to the innermost section that exists."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return f"{text.rstrip()}\n{_nested(path, value, 0)}".lstrip()
    node = root
    for depth, name in enumerate(path):
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(f"{'.'.join(path[:depth])} is not a section in this file.", "Correct it and try again.")
        pair = next(((key, found) for key, found in node.value if key.value == name), None)
        if pair is None:
            return _add(text, node, path[depth:], value)
        key, found = pair
        if depth == len(path) - 1:
            return _replace(text, key, found, f" {value}")
        if _is_null(found):
            inner = _nested(path[depth + 1 :], value, key.start_mark.column + 2)
            return _replace(text, key, found, f"\n{inner.rstrip()}")
        node = found
    return text


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _replace(text: str, key: yaml.Node, node: yaml.Node, value: str) -> str:
    """Replace the value of a key; comments that follow it stay."""
    colon = text.index(":", key.end_mark.index) + 1
    start, end = max(node.start_mark.index, colon), max(node.end_mark.index, colon)
    end = start + len(text[start:end].rstrip())  # a block ends at the start of the next key
    between = text[colon:start]
    if "\n" not in between:
        return f"{text[:colon]}{value}{text[end:]}"
    kept = between[: between.rindex("\n")]  # a comment behind the key of a block
    return f"{text[:colon]}{value}{kept}{text[end:]}"


def _add(text: str, section: yaml.MappingNode, path: list[str], value: str) -> str:
    if section.flow_style:
        at = section.start_mark.index + 1
        inner = value
        for name in reversed(path[1:]):
            inner = f"{{{name}: {inner}}}"
        return f"{text[:at]}{path[0]}: {inner}{', ' if section.value else ''}{text[at:]}"
    first = section.value[0][0].start_mark
    at = first.index - first.column
    return f"{text[:at]}{_nested(path, value, first.column)}{text[at:]}"


def _nested(path: list[str], value: str, indent: int) -> str:
    lines = [f"{' ' * (indent + 2 * depth)}{name}:" for depth, name in enumerate(path)]
    return "\n".join([*lines[:-1], f"{lines[-1]} {value}"]) + "\n"
