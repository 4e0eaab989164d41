"""fruitscale inspect: which photos of a run should somebody look at?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config

if TYPE_CHECKING:
    from fruitscale.api import Inspection

SHOWN = 3
"""Photos of each kind on the screen; --output has all."""


def inspect(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder whose photos are inspected.")],
    test: Annotated[
        Optional[str],  # noqa: UP045  Typer reads it
        typer.Option("--test", metavar="TEST_RUN", help="A run with the same model: find its copies of photos of RUN."),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="FOLDER", help="Also write a page, JSON, and CSVs of each kind."),
    ] = None,
    limit: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--limit", metavar="NAME=VALUE", help="Change a limit, as in dark=0.3. Can be given several times."
        ),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Find copies, suspect labels, outliers and bad photos, with the commands that remove them. Changes nothing."""
    from fruitscale import api

    limits = api.InspectionLimits().changed(limit or ())
    storage = load_config(config, sets).config.storage
    if output is not None:
        from fruitscale.inspection.finding_files import check_folder, write_findings

        check_folder(output)
    found = api.inspect(run, test, limits, storage)
    if output is not None:
        write_findings(found, output, storage)
    if json:
        print_json(found)
        return
    _show(found, output)


def _show(found: Inspection, output: Path | None) -> None:
    from fruitscale.cli.screen import counted, number, out, table_of
    from fruitscale.inspection.run_inspection import KINDS

    table = table_of("kind", "photos", "limit", title=f"To look at in {found.run}", right=("photos",))
    for kind in KINDS:
        table.add_row(kind, number(len(found.of_kind(kind))), found.rule(kind))
    out().print(table)
    for kind in KINDS:
        _show_kind(found, kind, output)
    photos = len({finding.path for finding in found.findings})
    out().print(
        f"\n{number(photos)} of {counted(found.photos, 'photo')} to look at. Nothing was changed.", style="bold"
    )
    for note in found.notes:
        out().print(f"Note: {note}", style="yellow")
    if output is not None:
        out().print(f"Page, JSON and CSVs: {output}")
    elif photos:
        out().print("A page of them, and CSVs of all: add --output FOLDER.", style="dim")


def _show_kind(found: Inspection, kind: str, output: Path | None) -> None:
    from fruitscale.cli.screen import number, out
    from fruitscale.inspection.action_lines import actions, erase_line

    findings = found.of_kind(kind)
    if not findings:
        return
    out().print(f"\n{kind}", style="bold")
    for finding in findings[:SHOWN]:
        of = f" of {finding.of}" if finding.of else ""
        out().print(f"  {finding.path}: {finding.words}{of}")
    if len(findings) > SHOWN:
        out().print(f"  … and {number(len(findings) - SHOWN)} more", style="dim")
    lines = actions(found, kind, output) or ([erase_line(found.run, findings[:1])] if found.shown else [])
    out().print(f"  {lines[0]}" if lines else "", style="dim")
