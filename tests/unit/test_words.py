"""The words of the docs, docstrings, comments, help and messages: the field's own, in plain English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "configs/*.yaml",
        "fruitscale/**/*.py",
        "fruitscale/**/*.html",
        "benchmarks/**/*.py",
    )
    for path in ROOT.glob(pattern)
    if path.name != "README.fr.md"
)
AVOIDED = re.compile(
    r"\b(tells?|told|mends?|anew|so many)\b|what is there|can't be had|stronger than|is to be (had|made|said)|no pass\b"
    r"|(that|which) (is|are) there\b(?! already)",
    re.IGNORECASE,
)
ALLOWED = re.compile(r"`mend`")  # the CHANGELOG names the old key


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_to_avoid(path: Path) -> None:
    lines = ALLOWED.sub("", path.read_text(encoding="utf-8")).splitlines()
    found = [f"{number}: {line.strip()}" for number, line in enumerate(lines, 1) if AVOIDED.search(line)]
    assert found == []
