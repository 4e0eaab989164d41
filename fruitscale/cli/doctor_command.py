"""fruitscale doctor: what is there, what is missing, what to do."""

from __future__ import annotations

import typer

from fruitscale.cli.options import ConfigFile, Engine, Json, Sets, Verbose, loaded


def doctor(
    config: ConfigFile = None, sets: Sets = None, engine: Engine = None, json: Json = False, verbose: Verbose = False
) -> None:
    """Look at what a run needs. Exit 1 when the chosen config could not run here."""
    from dataclasses import asdict

    from fruitscale.pipeline.doctor import examine

    findings = examine(loaded(config, sets, engine=engine).config)
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


def _print(findings: object) -> None:
    from rich.markup import escape
    from rich.table import Table

    from fruitscale.cli.screen import out
    from fruitscale.pipeline.doctor import DoctorFinding

    assert isinstance(findings, list)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        assert isinstance(finding, DoctorFinding)
        mark = "[green]ok[/]" if finding.ok else "[red]missing[/]" if finding.needed else "[yellow]absent[/]"
        table.add_row(mark, finding.what, escape(finding.found), escape(finding.remedy))
    out().print(table)
