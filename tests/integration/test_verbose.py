"""--verbose, one option for every command, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fruitscale.cli import app
from fruitscale.cli.options import take_verbose
from tests.conftest import QUICK, Cli


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path
    for name, one in (inner or {}).items():
        yield from _commands(one, (*path, name))


COMMANDS = list(_commands(typer.main.get_command(app)))


def test_every_command_is_listed() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_takes_it_before_and_after_the_verb(command: tuple[str, ...]) -> None:
    for arguments in ([*command, "--verbose", "--help"], ["--verbose", *command, "--help"]):
        shown = CliRunner().invoke(app, arguments)
        assert shown.exit_code == 0, shown.output
        assert "--verbose" in shown.output


def test_what_follows_two_dashes_is_no_option() -> None:
    assert take_verbose(["run", "--", "--verbose"]) == ["run", "--", "--verbose"]
    assert take_verbose(["--verbose", "run", "--verbose"]) == ["run"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_it_shows_sources_and_a_traceback(cli: Cli, tmp_path: Path, place: str) -> None:
    command = ["show", tmp_path / "nowhere", *QUICK]
    quiet = cli(*command)
    loud = cli(*(["--verbose", *command] if place == "before" else [*command, "--verbose"]))
    assert quiet.code == loud.code == 1
    assert "Traceback" not in quiet.err
    assert "from --set" not in quiet.err
    assert "Traceback" in loud.err
    assert "model.input_size: from --set model.input_size" in loud.err
    assert loud.err.rstrip().endswith(quiet.err.rstrip())
