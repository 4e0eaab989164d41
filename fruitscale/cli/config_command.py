"""fruitscale config: what is configured, and what can be."""

from __future__ import annotations

import typer

from fruitscale.cli.options import ConfigFile, Engine, Json, Sets, Verbose, loaded

app = typer.Typer(help="Show the configuration.", no_args_is_help=True)


@app.command()
def show(
    config: ConfigFile = None, sets: Sets = None, engine: Engine = None, json: Json = False, verbose: Verbose = False
) -> None:
    """Print the effective configuration, and where each value came from."""
    given = loaded(config, sets, engine=engine)
    if json:
        typer.echo(given.config.model_dump_json(indent=2))
        return
    from rich.table import Table

    from fruitscale.cli.screen import out
    from fruitscale.config.loading import leaves

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("key", "value", "from"):
        table.add_column(heading, overflow="fold")
    for key, value in leaves(given.config.model_dump(mode="json")):
        source = given.sources.get(key) or _inner(key, given.sources)
        table.add_row(key, _text(value), source, style="dim" if source == "default" else None)
    out().print(table)


@app.command()
def schema() -> None:
    """Print the JSON schema of a config file, for editors."""
    import json

    from fruitscale.config.loading import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _inner(key: str, sources: object) -> str:
    assert isinstance(sources, dict)
    return ", ".join(dict.fromkeys(s for k, s in sources.items() if k.startswith(f"{key}."))) or "default"


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) and value else json.dumps(value)
