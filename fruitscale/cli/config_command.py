"""fruitscale config: the effective configuration, and the schema of config files."""

from __future__ import annotations

import typer

from fruitscale.cli.json_output import print_json, print_text
from fruitscale.cli.options import ConfigFile, Engine, Json, Sets, load_config

app = typer.Typer(help="Show the configuration.", no_args_is_help=True)


@app.command()
def show(
    config: ConfigFile = None,
    sets: Sets = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Print the effective configuration, and where each value came from."""
    given = load_config(config, sets, engine=engine)
    if json:
        print_text(given.config.model_dump_json(indent=2) + "\n")
        return
    from fruitscale.cli.screen import out, table_of
    from fruitscale.config.loading import leaves

    table = table_of("key", "value", "from")
    for key, value in leaves(given.config.model_dump(mode="json")):
        source = given.sources.get(key) or _inner(key, given.sources)
        table.add_row(key, _text(value), source, style="dim" if source == "default" else None)
    out().print(table)


@app.command()
def schema() -> None:
    """Print the JSON schema of a config file, for editors."""
    from fruitscale.config.loading import json_schema

    print_json(json_schema())


def _inner(key: str, sources: object) -> str:
    assert isinstance(sources, dict)
    return ", ".join(dict.fromkeys(s for k, s in sources.items() if k.startswith(f"{key}."))) or "default"


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) and value else json.dumps(value)
