"""The commands and the code that the documents show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

READMES = [ROOT / "tests" / "README.md", ROOT / "benchmarks" / "peers" / "README.md"]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *READMES])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of its fence."""

    language: str
    text: str
    line: int


def blocks_of(document: Path) -> list[Block]:
    """Return a document's fenced blocks."""
    text = document.read_text()
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in _BLOCK.finditer(text)]


def commands_of(document: Path) -> list[str]:
    """Return the lines of a document's shell blocks, those that go on joined, without comments."""
    text = "".join(block.text for block in blocks_of(document) if block.language == "bash")
    lines = (re.sub(r"\s+#\s.*", "", line).strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line]


def links_of(document: Path) -> list[str]:
    """Return where a document's links go, those to other places on the web left out."""
    return [link for link in _LINK.findall(document.read_text()) if "://" not in link]
