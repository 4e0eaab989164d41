"""JSON on stdout, for --json."""

from __future__ import annotations

from typing import Any

import typer


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print a value as indented JSON; dataclasses, also within lists, become objects."""
    import json
    from dataclasses import asdict, is_dataclass

    if isinstance(value, list | tuple):
        value = [asdict(item) if is_dataclass(item) and not isinstance(item, type) else item for item in value]
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    print_text(json.dumps(value, indent=2) + "\n")


def print_text(text: str) -> None:
    """Print JSON text as it is."""
    typer.echo(text, nl=False)
