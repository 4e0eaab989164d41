"""Options shared by several commands, and the configuration they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fruitscale.config.loading import InheritedSettings, LoadedConfig

VERBOSE = "--verbose"
_given: dict[str, bool] = {}

ConfigFile = Annotated[
    Optional[Path],  # noqa: UP045  Typer reads it
    typer.Option("--config", "-c", metavar="FILE", help="A YAML file of settings; examples are in configs/."),
]
Sets = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Set any key of the config, as in pca.components=50. Can be given several times.",
    ),
]
Engine = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--engine", "-e", metavar="NAME", help="local, spark or dask."),
]
InputUri = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--input", "-i", metavar="URI", help="The folder or s3:// prefix with the photos, one folder per label."
    ),
]


def _number_or_word(value: str | None) -> int | str | None:
    return int(value) if value is not None and value.isdecimal() else value


Slots = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--slots",
        metavar="NUMBER",
        callback=_number_or_word,
        help="Photos at once on this machine. Default: one per core.",
    ),
]
OutputUri = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--output", "-o", metavar="URI", help="The run folder to write."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another run in --output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be done, and change nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def load_config(
    config: Path | Mapping[str, Any] | None,
    sets: list[str] | None,
    earlier: InheritedSettings | None = None,
    /,
    **flags: object,
) -> LoadedConfig:
    """Load the configuration; each flag is named like its key, with `__` instead of dots."""
    from fruitscale.config.loading import load

    loaded = load(config, sets or (), {name.replace("__", "."): value for name, value in flags.items()}, earlier)
    show_sources(loaded)
    return loaded


def show_sources(loaded: LoadedConfig) -> None:
    """With --verbose, print on stderr where each setting that is not a default came from."""
    for key, source in loaded.sources.items() if is_verbose() else ():
        if source != "default":
            echo(f"{key}: from {source}", err=True)


def take_verbose(arguments: list[str]) -> list[str]:
    """Return the arguments without --verbose or -v, which may stand anywhere before `--`, and remember whether it was given."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [word for word in arguments[:end] if word not in (VERBOSE, "-v")] + arguments[end:]
    _given[VERBOSE] = len(rest) < len(arguments)
    return rest


def is_verbose() -> bool:
    """Return whether --verbose was given."""
    return _given.get(VERBOSE, False)
