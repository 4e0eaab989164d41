"""Turns validation errors of the configuration into messages: the key, the problem, the nearest valid key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any

from fruitscale.config.cluster_section import KINDS
from fruitscale.config.schema import Config
from fruitscale.config.section import Section

PLAIN_WORDS = {
    "Input should be a valid integer": "must be a whole number",
    "Input should be a valid number": "must be a number",
    "Input should be a valid boolean": "must be true or false",
    "Input should be a valid string": "must be text",
    "Input should be a valid dictionary": "must be a mapping",
    "Input should be a valid tuple": "must be a list",
    "Input should be ": "must be ",
}
"""Pydantic's words, and ours."""
MOST_SHOWN = 200
"""Longest part of a wrong value in a message, in characters."""


def explain(problem: Any, sources: Mapping[str, str]) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    """Return one line for one of pydantic's errors; `sources` names where each dotted key's value came from."""
    location = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        key = ".".join(_without_kind(location))
        known = _keys_at(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        parent = _without_kind(location[:-1])
        meant = f"did you mean {'.'.join([*parent, near[0]])}?" if near else f"valid keys: {', '.join(known)}"
        problem_text = f"no such key; {meant}"
    elif problem["type"].startswith("union_tag_"):
        key = ".".join([*location, "kind"])
        problem_text = f"must be one of {', '.join(KINDS)}; it is {_shown(problem['ctx'].get('tag', 'not set'))}"
    else:
        key = ".".join(_without_kind(list(_fields_of(location))))
        message = problem["msg"].removeprefix("Value error, ")
        message = re.sub(r" or (?:instance of \w+|object to extract fields from)$", "", message)
        for pydantic_words, plain in PLAIN_WORDS.items():
            message = message.replace(pydantic_words, plain)
        problem_text = f"{message[:1].lower()}{message[1:]}; it is {_shown(problem['input'])}"
    source = next((where for k, where in sources.items() if f"{k}.".startswith(f"{key}.") and where != "default"), None)
    return f"{key}: {problem_text}" + (f" (from {source})" if source else "")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # thousands of digits
        return "a very large number"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _fields_of(location: Sequence[str]) -> Iterator[str]:
    """Yield the keys in an error's location; after them pydantic names the branch of a union, or an index."""
    for i, part in enumerate(location):
        if part not in _keys_at(location[:i]):
            return
        yield part


def _without_kind(location: list[str]) -> list[str]:
    """Return the location without the kind that pydantic puts after `cluster`, which is not a key."""
    return location[:1] + location[2:] if location[:1] == ["cluster"] and location[1:2] else location


def _keys_at(location: Sequence[str]) -> list[str]:
    section: type[Section] = Config
    if location[:1] == ["cluster"]:
        if len(location) == 1:
            return sorted(KINDS)
        section, location = KINDS[location[1]], location[2:]
    for part in location:
        field = section.model_fields.get(part)
        inner = field.annotation if field else None
        if isinstance(inner, UnionType) or not isinstance(inner, type) or not issubclass(inner, Section):
            return []
        section = inner
    return sorted(section.model_fields)
