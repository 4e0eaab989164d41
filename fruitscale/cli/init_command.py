"""fruitscale init: writes a config file from five questions."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fruitscale.cli.plain_output import echo


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The config file to write.")] = Path("fruitscale.yaml"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Ask five questions and write a config file with your answers, and every other key with a comment."""
    from fruitscale.config.wizard import config_text, next_question
    from fruitscale.errors import OutputError

    if file.exists() and not overwrite:
        raise OutputError(f"{file} exists already.", "Name another file, or replace it with --overwrite.")
    answers: dict[str, str] = {}
    while (question := next_question(answers)) is not None:
        answers[question.key] = _ask(question.key, question.text, question.default)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(config_text(answers), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{file} can't be written: {error.strerror}.", "Name another file.") from None
    name = shlex.quote(str(file))
    echo(f"{file} is written. Check whether it can run here: fruitscale doctor --config {name}")
    echo(f"Run it: fruitscale run --config {name}")


def _ask(key: str, text: str, default: str | None) -> str:
    from fruitscale.cli.screen import print_error
    from fruitscale.config.wizard import check
    from fruitscale.errors import UsageError

    while True:
        answer: str = typer.prompt(text, default=default)
        try:
            check(key, answer.strip())
        except UsageError as error:
            print_error(error.message, error.hint)
        else:
            return answer.strip()
