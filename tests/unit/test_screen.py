"""What reaches a terminal: names from outside are text there, never control sequences, markup or emoji."""

from __future__ import annotations

import ast
import io
import re
import sys
from pathlib import Path

import pytest
from rich.text import Text

from fruitscale.cli.screen import pairs, print_error, table_of
from fruitscale.display.events import Event
from fruitscale.display.formatting import printable
from fruitscale.display.safe_console import SafeConsole
from fruitscale.display.terminal import display

PACKAGE = Path(__file__).parents[2] / "fruitscale"
NASTY = "\x1b]0;owned\x07\x9b2J\x1b[31m[bold red]x[/] :apple: \r\u202e\x7f\udc80"
SHOWN = r"\x1b]0;owned\x07\x9b2J\x1b[31m[bold red]x[/] :apple: \r\u202e\x7f\udc80"


def test_control_characters_are_shown_as_python_writes_them() -> None:
    assert printable(NASTY) == SHOWN
    ordinary = "Pomme d'été 苹果 🍎 a\tb\nc [x] \\"
    assert printable(ordinary) == ordinary


def printed(console: SafeConsole, *what: object) -> str:
    with console.capture() as captured:
        for each in what:
            console.print(each)
    return captured.get()


@pytest.mark.parametrize("terminal", [False, True])
def test_every_way_to_print_a_name_is_safe(terminal: bool) -> None:
    console = SafeConsole(force_terminal=terminal, color_system=None, width=500, soft_wrap=True)
    table = table_of("label", NASTY, title=NASTY)
    table.add_row("a", NASTY)
    table.add_row("b", Text(NASTY, "bold"))
    out = printed(console, NASTY, Text(NASTY), table, pairs(NASTY, [(NASTY, NASTY)]))
    assert out.count(SHOWN) + out.count(SHOWN[:40]) >= 7
    assert not re.search(r"[\x00-\x08\x0b-\x1a\x7f-\x9f\u202e]|\x1b\]|\x1b\[31m", out)


def test_an_error_is_safe(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(f"{NASTY} does not exist.", f"Remove {NASTY}")
    assert capsys.readouterr().err == f"Error: {SHOWN} does not exist.\nHint: Remove {SHOWN}\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_progress_is_safe(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]) -> None:
    """A wait names the host in a lock, an engine its master, a warning a file."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "500")
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    with display() as observer:
        observer(Event("list", message=NASTY, warning=NASTY, engine=NASTY, ui=NASTY))
    text = shown.getvalue()
    assert text.count(SHOWN) >= 3
    assert not set("\x07\x9b\u202e\x7f\udc80") & set(text)
    assert "\x1b]" not in text
    assert "\x1b[31m" not in text


def test_the_package_prints_in_one_place() -> None:
    """Every other module goes through these, so no name reaches the terminal as it is."""
    allowed = {"cli/plain_output.py", "cli/json_output.py", "display/terminal.py"}
    for path in sorted(PACKAGE.rglob("*.py")):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = {ast.unparse(call) for call in calls} & {"print", "typer.echo", "typer.secho", "Console"}
        assert not names or path.relative_to(PACKAGE).as_posix() in allowed, (path, names)
