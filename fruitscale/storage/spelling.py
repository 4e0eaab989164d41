"""Unicode spellings of one name: é may be one character (NFC, as most systems write it) or two (NFD, as Macs do)."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice, product

MOST_CHARACTERS = 4
"""Up to this many accented characters are spelled independently of each other; beyond, each folder or file name is."""
MOST_SPELLINGS = 4096


def composed(text: str) -> str:
    """Return a name in NFC, in which names that look the same are equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def spellings(name: str) -> Iterator[str]:
    """Yield a name, then its spellings with one or with two characters for each accented one."""
    yield name
    if name.isascii():
        return
    forms = [_forms(character) for character in composed(name)]
    if sum(len(form) > 1 for form in forms) > MOST_CHARACTERS:
        forms = [_forms(segment) for segment in re.split("(/)", composed(name))]
    yield from map("".join, islice(product(*forms), MOST_SPELLINGS))


def alike(labels: Iterable[str | None]) -> list[tuple[str, ...]]:
    """Return the groups of different labels that look the same."""
    groups: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        if label is not None:
            groups[composed(label)].add(label)
    return [tuple(sorted(group)) for _, group in sorted(groups.items()) if len(group) > 1]


def _forms(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((text, unicodedata.normalize("NFD", text))))
