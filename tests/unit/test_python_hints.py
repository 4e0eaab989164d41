"""Errors that Python prints name settings and functions, not the command's flags."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fruitscale.errors import UsageError, in_python
from tests.conftest import ROOT

FLAG = re.compile(r"--(set|input|output|overwrite|path|label|matching|refit|config|engine)\b")
OUTSIDE = {"cli", "clusters", "gdpr", "bench", "machines"}
"""Packages whose messages only the command prints."""


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("Choose another --output, or replace the run with --overwrite.",
         "Choose another output, or replace the run with overwrite (in a config: output.overwrite)."),
        ("Use f32: --set model.precision=f32", "Use f32: set model.precision=f32 in the config"),
        ("Use --set model.input_size=64, or export another model.",
         "Set model.input_size=64 in the config, or export another model."),
        ("Use the packaged weights: --set model.architecture=a0 --set model.weights=packaged",
         "Use the packaged weights: set model.architecture=a0 and model.weights=packaged in the config"),
        ("Repair them, or allow more: --set images.max_reject_fraction=…",
         "Repair them, or allow more: set images.max_reject_fraction=… in the config"),
        ("Compare with that run: fruitscale drift runs/a runs/b",
         "Compare with that run: fruitscale.drift('runs/a', 'runs/b')"),
        ("Apply one (fruitscale apply --pca runs/a), or read features.",
         "Apply one (fruitscale.apply('runs/a', …)), or read features."),
        ("Run the same command again: it resumes.", "Run the same code again: it resumes."),
        ("pip install --force-reinstall x", "pip install --force-reinstall x"),
    ],
)  # fmt: skip
def test_a_hint_in_python(hint: str, expected: str) -> None:
    assert in_python(hint) == expected
    error = UsageError("It is wrong.", hint)
    assert str(error) == f"It is wrong.\n\nHint: {expected}"
    assert error.hint == hint  # the command prints this


def texts() -> Iterator[tuple[str, str]]:
    """Yield the texts of the package that only Python or the command may print."""
    for file in sorted((ROOT / "fruitscale").rglob("*.py")):
        if OUTSIDE.isdisjoint(file.relative_to(ROOT).parts) and file.name != "errors.py":
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    yield from ((Path(file).name, text) for argument in node.args if (text := text_of(argument)))


def text_of(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "x" for p in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_no_flag_is_left() -> None:
    hints = [(name, text) for name, text in texts() if FLAG.search(text) and " " in text]
    assert len(hints) > 20
    assert [(name, in_python(text)) for name, text in hints if FLAG.search(in_python(text))] == []
