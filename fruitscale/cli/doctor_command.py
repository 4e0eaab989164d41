"""fruitscale doctor: what is installed, what is missing, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Engine, Json, Sets, load_config

if TYPE_CHECKING:
    from fruitscale.pipeline.doctor import DoctorFinding

QUICKSTART = {"model": {"architecture": "efficientnet_lite0", "weights": "packaged"}}
"""What configs/quickstart.yaml, which an installed package does not have, changes of the defaults."""


def doctor(
    config: ConfigFile = None,
    sets: Sets = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Check what a run of this config needs (default: configs/quickstart.yaml). Exit 1 if it can't run here."""
    from fruitscale.pipeline.doctor import examine

    findings = examine(load_config(config or QUICKSTART, sets, engine=engine).config)
    if json:
        print_json(findings)
    else:
        _print(findings)
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[DoctorFinding]) -> None:
    from rich.text import Text

    from fruitscale.cli.screen import out, table_of

    table = table_of("", "what", "found", "what to do")
    for finding in findings:
        mark = ("ok", "green") if finding.ok else ("missing", "red") if finding.needed else ("absent", "yellow")
        table.add_row(Text(*mark), finding.what, finding.found, finding.remedy)
    out().print(table)
