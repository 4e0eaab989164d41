"""Builds a config file from a few answers, with a comment for every key (fruitscale init)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fruitscale.config.loading import as_config, parse_assignment
from fruitscale.config.schema import CHOICES, EU_REGIONS
from fruitscale.errors import UsageError
from fruitscale.uris import is_s3, local_path

NETWORKS = (
    "efficientnet_lite0",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_v2_b0",
    "resnet50",
)
OTHERS = ", ".join(NETWORKS[1:])
WIDTH = 100
"""Longest line with its comment at the end, in characters."""


@dataclass(frozen=True)
class Question:
    """One question, the key that it sets, and its default (None: an answer is required)."""

    key: str
    text: str
    default: str | None = None


def next_question(answers: Mapping[str, str]) -> Question | None:
    """Return the next of the questions (five, or six if the network is a file), or None after the last."""
    on_s3 = is_s3(answers.get("input.uri", "")) or is_s3(answers.get("output.uri", ""))
    is_file = answers.get("model.architecture") == "file"
    questions = (
        Question("input.uri", "Where are the photos? A folder with one subfolder per label, or s3://bucket/prefix"),
        Question("output.uri", "Where should the results go?", None if on_s3 else "runs/first"),
        Question("engine", "Which engine: local, spark or dask?", "spark"),
        Question("model.architecture", f"Which network? {NETWORKS[0]} (no download), {OTHERS}, … or file", NETWORKS[0]),
        *([Question("model.file", "Which file? .onnx, .xml (OpenVINO), .keras or a SavedModel folder")] if is_file else []),
        Question("storage.region", "In which AWS region are the buckets?", EU_REGIONS[0])
        if on_s3
        else Question("pca.components", "How many components? A fraction of the variance, or a number", "0.95"),
    )  # fmt: skip
    return next((question for question in questions if question.key not in answers), None)


def check(key: str, answer: str) -> None:
    """Raise UsageError if an answer is not valid."""
    if key == "input.uri" and not is_s3(answer) and not local_path(answer).is_dir():
        raise UsageError(f"There is no folder {answer}.")
    if key == "model.architecture" and (answer not in CHOICES["architecture"] or answer == "patch_mean"):
        raise UsageError(f"There is no network {answer}.", f"Choose one of {', '.join(NETWORKS)}, …, or file.")
    if key == "model.file" and not Path(answer).expanduser().exists():
        raise UsageError(f"There is no file or folder {answer}.")
    if key.startswith("model."):
        return  # a file's name and its architecture are only valid together
    if key == "storage.region" and answer not in EU_REGIONS:
        raise UsageError(f"{answer} is not an allowed region.", f"Choose one of {', '.join(EU_REGIONS)}.")
    try:
        as_config(_tree({key: answer}))
    except UsageError:
        raise UsageError(f"{answer!r} is not valid for {key}.") from None


def config_text(answers: Mapping[str, str]) -> str:
    """Return the answers as YAML, with every other key and a comment for each."""
    config = as_config(_tree(answers))
    lines = [
        "# fruitscale: all settings, with your answers. Flags override `--set a.b=c`, which overrides this file.",
        "# `fruitscale doctor --config FILE` checks whether it can run here, `fruitscale run --config FILE` runs it.",
        *_lines(config, ""),
    ]
    return "\n".join(lines) + "\n"


def _tree(answers: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, answer in answers.items():
        text = key in ("input.uri", "output.uri", "model.file")  # a folder may be named 2024
        section, _, name = key.rpartition(".")
        place = given.setdefault(section, {}) if section else given
        place[name] = answer if text else parse_assignment(f"{key}={answer}")[1]
    if "model" in given:
        given["model"]["weights"] = "packaged" if given["model"]["architecture"] == NETWORKS[0] else "imagenet"
    return given


def _lines(section: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            if not indent:
                yield ""
            yield f"{indent}{name}:  # {(type(value).__doc__ or '').strip().rstrip('.')}"
            yield from _lines(value, f"{indent}  ")
        else:
            yield from _line(f"{indent}{name}: {_yaml(value)}", field, indent)


def _line(line: str, field: FieldInfo, indent: str) -> Iterator[str]:
    comment = f"# {' '.join((field.description or '').split()).rstrip('.')}"
    if len(line) + len(comment) + 2 > WIDTH:
        yield f"{indent}{comment}"
        yield line
    else:
        yield f"{line}  {comment}"


def _yaml(value: object) -> str:
    """Return a value as JSON, which is also YAML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
