"""fruitscale report: an HTML page of each run or benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fruitscale.cli.options import ConfigFile, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.config.schema import Storage


def report(
    of: Annotated[
        list[str],
        typer.Argument(metavar="RUN|BENCH...", help="A run folder, or the folder or JSON file of a benchmark."),
    ],
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Write the page of each run or benchmark: one file that needs no network."""
    storage = load_config(config, sets).config.storage
    for uri in of:
        page = _make(uri, storage)
        echo(page)
        if open_:
            _open(page)


def _make(uri: str, storage: Storage) -> str:
    from fruitscale import api
    from fruitscale.bench import bench_page
    from fruitscale.uris import is_s3, local_path

    if not is_s3(uri) and bench_page.is_bench(local_path(uri)):
        return str(bench_page.publish(local_path(uri)))
    return api.report(uri, storage)


def _open(page: str) -> None:
    import webbrowser
    from pathlib import Path

    from fruitscale.errors import UsageError
    from fruitscale.uris import is_s3

    if is_s3(page):
        raise UsageError(f"{page} was written; a browser can't open it there.", f"Copy it first: aws s3 cp {page} .")
    if not webbrowser.open(Path(page).as_uri()):
        raise UsageError(f"{page} was written; there is no browser here to open it.", "Open the file in one.")
