"""Explains validation errors of the configuration: the key, what is wrong with its value, the nearest valid key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from types import UnionType
from typing import Any, get_origin

from fruitscale.config.cluster_section import KINDS
from fruitscale.config.schema import Config
from fruitscale.config.section import Section

MAX_SHOWN = 200
"""Maximum number of characters of a wrong value that a message repeats."""
MOST_CHOICES = 12
"""Choices that a message lists; of more, it names the nearest."""
_CHOICE = re.compile("'([^']*)'")

EXPECTATIONS: Mapping[str, str] = {
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "missing": "complete (a value is missing)",
    "model_attributes_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "string_too_short": "text with at least {min_length} character",
    "string_type": "text",
    "too_short": "a list with at least {min_length} item",
    "tuple_type": "a list",
}
"""By pydantic's type of error: what the value must be."""
NUMBERS = (EXPECTATIONS["int_type"], EXPECTATIONS["float_type"])
YAML_WORDS = {None: "null", True: "true", False: "false"}


def explain(problems: Sequence[Any], sources: Mapping[str, str]) -> list[str]:
    """Return a line for each wrong key or value among pydantic's errors.

    `sources` maps dotted keys to where their values came from.
    """
    unknown: list[str] = []
    wrong: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        location = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            key = ".".join(_without_kind(location))
            unknown.append(f"{key}: {_nearest(location)}{_source(key, sources)}")
        elif problem["type"].startswith("union_tag_"):
            value = _shown(problem["ctx"]["tag"]) if "tag" in problem["ctx"] else "nothing"
            wrong[".".join([*location, "kind"]), value] = [repr(kind) for kind in KINDS]
        elif problem["type"] != "too_short" or not problem["input"]:  # one with wrong items only seems too short
            key = ".".join(_without_kind(list(_fields_of(location))))
            value = f"{_shown(problem['input'])}{_note(problem)}"
            wrong.setdefault((key, value), []).append(_expectation(problem))
    lines = [
        f"{key}: must be {_any_of(dict.fromkeys(expected))}, got {value}{_source(key, sources)}"
        for (key, value), expected in wrong.items()
    ]
    return lines + unknown


def _any_of(expected: Iterable[str]) -> str:
    *others, last = expected
    if not others:
        return last
    return f"{', '.join(others)}{', ' if ' or ' in last else ' or '}{last}"


def _note(problem: Any) -> str:  # noqa: ANN401
    """Return why a value that looks right is not: YAML reads numbers in quotes, and 1e9, as text."""
    value = problem["input"]
    if not isinstance(value, str) or EXPECTATIONS.get(problem["type"]) not in NUMBERS:
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return " (YAML reads it as text: leave out quotes, and write 1e9 as 1.0e+9)"


def _expectation(problem: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    """Return what a wrong value must be; alternatives of a union are separate errors."""
    if (
        problem["type"] == "literal_error"
        and len(choices := _CHOICE.findall(problem["ctx"]["expected"])) > MOST_CHOICES
    ):
        return _one_of_many(str(problem["input"]), choices)
    template = EXPECTATIONS.get(problem["type"])
    if template is not None:
        limits = problem.get("ctx", {}).items()
        return template.format_map({k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in limits})
    message: str = problem["msg"].removeprefix("Value error, ")
    return f"valid ({message[:1].lower()}{message[1:]})" if problem["type"] != "value_error" else message


def _one_of_many(value: str, choices: Sequence[str]) -> str:
    near = [repr(name) for name in difflib.get_close_matches(value, choices, 3, 0.5) or choices[:3]]
    named = f"{', '.join(near[:-1])} or {near[-1]}" if near[1:] else near[0]
    return f"one of {len(choices)} names, such as {named} (`fruitscale config schema` lists them)"


def _nearest(location: list[str]) -> str:
    known = _keys_at(location[:-1])
    near = difflib.get_close_matches(location[-1], known, n=1)
    if near:
        return f"no such key; did you mean {'.'.join([*_without_kind(location[:-1]), near[0]])}?"
    return f"no such key; valid keys: {', '.join(known)}"


def _source(key: str, sources: Mapping[str, str]) -> str:
    parts = f"{key}."
    found = [
        where
        for k, where in sources.items()
        if where != "default" and (f"{k}.".startswith(parts) or parts.startswith(f"{k}."))
    ]
    return f" (from {found[0]})" if found else ""


def _shown(value: object) -> str:
    """Return a value as YAML has it, as far as that is not Python's notation too."""
    if value is None or isinstance(value, bool):
        return YAML_WORDS[value]
    if isinstance(value, date):
        return f"the date {value.isoformat()} (in quotes, it is text)"
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a very large number"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _fields_of(location: Sequence[str]) -> Iterator[str]:
    """Yield the keys of an error's location; pydantic appends the branch of a union, or an index."""
    for i, part in enumerate(location):
        if part not in _keys_at(location[:i]):
            if i and _is_mapping(location[:i]):
                yield part
            return
        yield part


def _without_kind(location: list[str]) -> list[str]:
    """Remove what pydantic inserts after `cluster`: its kind, which is not a key."""
    return location[:1] + location[2:] if location[:1] == ["cluster"] and location[1:2] else location


def _is_mapping(location: Sequence[str]) -> bool:
    """Return whether a key holds a mapping of any keys, such as spark.conf."""
    section = _section_at(location[:-1])
    field = section.model_fields.get(location[-1]) if section else None
    return field is not None and get_origin(field.annotation) is dict


def _keys_at(location: Sequence[str]) -> list[str]:
    if list(location) == ["cluster"]:
        return sorted(KINDS)
    section = _section_at(location)
    return sorted(section.model_fields) if section else []


def _section_at(location: Sequence[str]) -> type[Section] | None:
    section: type[Section] = Config
    if location[:1] == ["cluster"]:
        if len(location) == 1:
            return None
        section, location = KINDS[location[1]], location[2:]
    for part in location:
        field = section.model_fields.get(part)
        inner = field.annotation if field else None
        if isinstance(inner, UnionType) or not isinstance(inner, type) or not issubclass(inner, Section):
            return None
        section = inner
    return section
