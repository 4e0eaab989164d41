"""--verbose, one option for every command, wherever it stands."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fruitscale.cli import app, main
from fruitscale.cli.options import take_verbose
from tests.conftest import QUICK, Cli


def _commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its words, also groups that are commands themselves."""
    if not hasattr(command, "commands") or (path and command.invoke_without_command):
        yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(one, f"{path} {name}".strip())


COMMANDS = dict(_commands(typer.main.get_command(app)))
CONFIGURED = [name for name, command in COMMANDS.items() if any(p.name == "config" for p in command.params)]
FAILING = {"init": [__file__], "sample": ["out", "--classes", "1000"]}
"""Arguments with which the commands without a config fail."""
INVALID = {"bench overhead": ["--tasks", "x"]}
"""Arguments that end a command right after it has loaded its config."""


def _required(name: str) -> list[str]:
    """Return values for a command's required arguments and options, which name runs that do not exist."""
    words: list[str] = []
    for parameter in COMMANDS[name].params:
        if parameter.required:
            option = [parameter.opts[0]] if parameter.param_type_name == "option" else []
            words += [*option, "csv" if parameter.name == "to" else "/proc/nowhere"]
    return words


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Any]:
    """A function that runs the command line in this process, and returns its exit code and stderr."""

    def run(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["fruitscale", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield run
    signal.signal(signal.SIGTERM, handler)


def test_every_command_is_listed() -> None:
    assert len(COMMANDS) > 20
    assert "bench" in COMMANDS
    assert set(COMMANDS) - set(CONFIGURED) == {*FAILING, "config schema"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_takes_it_before_and_after_the_verb(name: str) -> None:
    for arguments in ([*name.split(), "--verbose", "--help"], ["--verbose", *name.split(), "--help"]):
        shown = CliRunner().invoke(app, arguments)
        assert shown.exit_code == 0, shown.output
        assert "--verbose" in shown.output


@pytest.mark.parametrize("name", [*CONFIGURED, *FAILING])
def test_each_command_that_fails_prints_a_traceback_only_with_it(run_main: Any, name: str) -> None:
    arguments = FAILING.get(name) or [*_required(name), "--config", "/nowhere.yaml"]
    code, plain = run_main(*name.split(), *arguments)
    assert code in (1, 2)
    assert "Error: " in plain
    assert "Traceback" not in plain
    for words in (["--verbose", *name.split(), *arguments], [*name.split(), *arguments, "--verbose"]):
        again, verbose = run_main(*words)
        assert again == code
        assert "Traceback" in verbose
        assert verbose.endswith(plain)


@pytest.mark.parametrize("name", CONFIGURED)
def test_each_command_with_a_config_prints_its_sources_only_with_it(run_main: Any, name: str) -> None:
    sets = ["--set", "model.architecture=patch_mean", "--set", "engine=local"]
    command = [*name.split(), *_required(name), *INVALID.get(name, []), *sets]
    code, plain = run_main(*command)
    assert "from --set" not in plain
    again, verbose = run_main("--verbose", *command)
    assert again == code
    assert verbose.splitlines().count("engine: from --set engine") == 1


def test_what_follows_two_dashes_is_no_option() -> None:
    assert take_verbose(["run", "--", "--verbose"]) == ["run", "--", "--verbose"]
    assert take_verbose(["--verbose", "run", "--verbose"]) == ["run"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_installed_command_takes_it(cli: Cli, tmp_path: Path, place: str) -> None:
    command = ["show", tmp_path / "nowhere", *QUICK]
    quiet = cli(*command)
    verbose = cli(*(["--verbose", *command] if place == "before" else [*command, "--verbose"]))
    assert quiet.code == verbose.code == 1
    assert "Traceback" not in quiet.err
    assert "Traceback" in verbose.err
    assert "model.input_size: from --set model.input_size" in verbose.err
    assert verbose.err.rstrip().endswith(quiet.err.rstrip())
