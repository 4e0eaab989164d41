"""Tests of the help screens."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from fruitscale.cli import app, help_screens

ROOT: Any = typer.main.get_command(app)


def _commands(group: Any = ROOT, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{prefix}{name}", command
        yield from _commands(command, f"{name} ") if hasattr(command, "commands") else ()


COMMANDS = dict(_commands())
LEAVES = [name for name, command in COMMANDS.items() if name == "bench" or not hasattr(command, "commands")]


def test_every_command_stands_in_a_panel() -> None:
    assert {name for names in help_screens.PANELS.values() for name in names} == set(ROOT.commands)


def test_every_command_has_an_example() -> None:
    assert sorted(help_screens.EXAMPLES) == sorted(LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_the_example_is_right_use(name: str) -> None:
    words = shlex.split(help_screens.EXAMPLES[name].split(" > ")[0])[len(name.split()) :]
    COMMANDS[name].make_context(name, words, resilient_parsing=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_type_is_shown_that_people_do_not_read(name: str) -> None:
    command = COMMANDS[name]
    context = command.make_context(name, [], resilient_parsing=True)
    shown = [param.display_type_rich(context) for param in command.get_params(context) if not param.hidden]
    assert [text for text in shown if "<" in text] == []


def test_a_short_option_means_one_thing() -> None:
    meanings: dict[str, set[str]] = {}
    for name, command in COMMANDS.items():
        for param in command.get_params(command.make_context(name, [], resilient_parsing=True)):
            for short in (word for word in param.opts if word[0] == "-" and len(word) == 2 and not param.hidden):
                meanings.setdefault(short, set()).add(next(word for word in param.opts if word.startswith("--")))
    assert {short: found for short, found in meanings.items() if len(found) > 1} == {}
