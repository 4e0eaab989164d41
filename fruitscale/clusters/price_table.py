"""Writes a price table into a config file, and leaves the rest of the file as it is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import yaml

from fruitscale.config.cluster_section import Prices
from fruitscale.config.loading import read_yaml, to_yaml
from fruitscale.errors import UsageError

COMMENT = "# looked up with `fruitscale cluster prices --refresh`"


def write(path: Path, prices: Prices) -> None:
    """Replace `cluster.prices` of a config file. Raises UsageError and leaves the file unchanged."""
    before = read_yaml(path)
    text = path.read_text()
    cluster = _value(yaml.compose(text, yaml.SafeLoader), "cluster")
    if not isinstance(cluster, yaml.MappingNode) or cluster.flow_style:
        raise UsageError(
            f"{path} has no cluster section in block style to write the prices to.", "Add one, as in configs/emr.yaml."
        )
    made = _spliced(text, cluster, prices)
    section = {**before["cluster"], "prices": prices.model_dump(mode="json")}
    if not _holds(made, {**before, "cluster": section}):
        raise UsageError(f"{path}: writing the prices would change other keys.", "Edit cluster.prices yourself.")
    _replace(path, made)


def _holds(text: str, values: dict[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == values)
    except yaml.YAMLError:
        return False


def _spliced(text: str, cluster: yaml.MappingNode, prices: Prices) -> str:
    """Return the text with the lines of `prices` replaced, or added at the start of the cluster section."""
    lines = text.splitlines(keepends=True)
    indent = cluster.value[0][0].start_mark.column
    block = to_yaml({"prices": prices.model_dump(mode="json")}).splitlines()
    new = [f"{' ' * indent}{line}\n" for line in (f"{block[0]}   {COMMENT}", *block[1:])]
    start = end = cluster.value[0][0].start_mark.line
    for key, value in cluster.value:
        if key.value == "prices":
            start, end = key.start_mark.line, _last_line(value) + 1
    return "".join([*lines[:start], *new, *lines[end:]])


def _value(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _last_line(node: yaml.Node) -> int:
    """Return the line on which a value ends; a block's own mark is at the start of what follows it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    mark = node.end_mark
    return int(mark.line - 1 if mark.column == 0 and mark.line > node.start_mark.line else mark.line)


def _replace(path: Path, text: str) -> None:
    """Replace a file's content atomically."""
    target = path.resolve()
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(name).chmod(target.stat().st_mode & 0o777)
        Path(name).replace(target)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}.", "Check its folder's permissions.") from None
