"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from fruitscale.config.loading import InheritedSettings, LoadedConfig

ConfigFile = Annotated[
    Optional[Path],  # noqa: UP045  Typer reads it
    typer.Option("--config", "-c", metavar="FILE", help="A YAML file of settings; see configs/."),
]
Sets = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Set any key of the config, as in pca.components=50. Repeat."
    ),
]
Engine = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--engine", "-e", metavar="NAME", help="local, spark or dask."),
]
InputUri = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--input", "-i", metavar="URI", help="The folder with the photos, one folder a label."),
]
OutputUri = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--output", "-o", metavar="URI", help="Where the run folder goes."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another run that is in --output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show where each setting came from, and tracebacks.")]


def loaded(
    config: Path | None, sets: list[str] | None, earlier: InheritedSettings | None = None, /, **flags: object
) -> LoadedConfig:
    """Load the configuration; a flag is named as its key, with `__` for each dot."""
    from fruitscale.config.loading import load

    return load(config, sets or (), {name.replace("__", "."): value for name, value in flags.items()}, earlier)
