"""A configuration from a few answers, written with a comment at every key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fruitscale.config.loading import as_config, parse_assignment
from fruitscale.config.schema import EU_REGIONS
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
"""Characters of a line with its comment behind it, at most."""


@dataclass(frozen=True)
class Question:
    """One question: the key that it answers, and what Enter stands for (None: an answer is needed)."""

    key: str
    text: str
    default: str | None = None


def next_question(answers: Mapping[str, str]) -> Question | None:
    """Return the next of the five questions after some answers; None after the last."""
    on_s3 = is_s3(answers.get("input.uri", "")) or is_s3(answers.get("output.uri", ""))
    asked = (
        Question("input.uri", "Where are the photos? A folder with one folder a label, or s3://bucket/prefix"),
        Question("output.uri", "Where should the results go?", None if on_s3 else "runs/first"),
        Question("engine", "What should run it: local, spark or dask?", "spark"),
        Question("model.architecture", f"Which network? {NETWORKS[0]} (no download), {OTHERS}", NETWORKS[0]),
        Question("storage.region", "In which AWS region are the buckets?", EU_REGIONS[0])
        if on_s3
        else Question("pca.components", "How much to keep? A fraction of the variance, or a number of components", "0.95"),
    )  # fmt: skip
    return next((question for question in asked if question.key not in answers), None)


def check(key: str, answer: str) -> None:
    """Raise UsageError when an answer can't be used."""
    if key == "input.uri" and not is_s3(answer) and not local_path(answer).is_dir():
        raise UsageError(f"There is no folder {answer}.")
    if key == "model.architecture" and answer not in NETWORKS:
        raise UsageError(f"There is no network {answer}.", f"Choose one of {', '.join(NETWORKS)}.")
    if key == "storage.region" and answer not in EU_REGIONS:
        raise UsageError(f"{answer} is not an allowed region.", f"Choose one of {', '.join(EU_REGIONS)}.")
    try:
        as_config(_tree({key: answer}))
    except UsageError:
        raise UsageError(f"{answer!r} can't be used for {key}.") from None


def config_text(answers: Mapping[str, str]) -> str:
    """Return the configuration of all answers as YAML: every key there is, each with what it means."""
    config = as_config(_tree(answers))
    lines = [
        "# fruitscale: every key there is, with your answers. Flags are stronger than `--set a.b=c`, which is stronger than",
        "# this file. `fruitscale doctor --config` looks at whether it can run here, `fruitscale run --config` runs it.",
        *_lines(config, ""),
    ]
    return "\n".join(lines) + "\n"


def _tree(answers: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, answer in answers.items():
        text = key in ("input.uri", "output.uri")  # a folder may be named 2024
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
            yield ""
            yield f"{name}:  # {(type(value).__doc__ or '').strip().rstrip('.')}"
            yield from _lines(value, "  ")
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
    """Write a value as JSON, which is YAML too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
