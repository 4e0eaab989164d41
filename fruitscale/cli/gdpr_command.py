"""`fruitscale gdpr`: check a config, its buckets and roles against the GDPR; answer a request for access."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.gdpr.findings import Audit, AuditFinding

app = typer.Typer(
    no_args_is_help=True, help="Audit a config against the GDPR, or answer a request for access; see docs/gdpr.md."
)


@app.command()
def audit(
    config: ConfigFile = None,
    sets: Sets = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown: an annex to the records of processing (article 30).")
    ] = False,
    fix: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option(
            "--fix", metavar="FILE", help="Also write the remedies as a shell script to review; it is not run."
        ),
    ] = None,
    json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 also when something could not be checked.")] = False,
) -> None:
    """Check every bucket, role and setting of a config, read-only. Exit 1 if anything fails.

    Settings that could not be checked are reported and count as not passed. Not legal advice.
    """
    from fruitscale.cli.screen import counted
    from fruitscale.errors import UsageError
    from fruitscale.gdpr.audit import audit as run_audit

    if markdown and json:
        raise UsageError("--markdown and --json can't be combined.", "Use one of them.")
    found = run_audit(load_config(config, sets).config)
    if fix is not None:
        _write_script(found, fix)
    if json:
        print_json(found.to_dict())
    elif markdown:
        from fruitscale.gdpr.markdown import markdown as write

        echo(write(found), nl=False)
    else:
        _print(found)
    if found.unchecked:
        n_unchecked = counted(found.counts["could not be checked"], "setting")
        echo(f"{n_unchecked} could not be checked, which counts as not passed.", err=True)
    if found.failed or (strict and found.unchecked):
        raise typer.Exit(1)


@app.command()
def access(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run folder (its --output).")],
    path: Annotated[
        str, typer.Option("--path", metavar="PATH", help="The photo, as in the run's manifest.parquet or its input.")
    ],
    output: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option("--output", "-o", metavar="FILE", help="Write a file instead of stdout."),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Write everything that a run holds on one photo as Markdown, for a request for access (article 15).

    With hashed paths, give the real path, with the key in FRUITSCALE_PATH_KEY.
    """
    from fruitscale.cli.screen import print_waits
    from fruitscale.gdpr.access_document import access_document
    from fruitscale.gdpr.photo_access import photo_access

    with print_waits():
        found = photo_access(run, path, load_config(config, sets).config.storage)
    if json:
        print_json(found)
    elif output is None:
        echo(access_document(found), nl=False)
    else:
        _write_new(output, access_document(found), "--output")
        echo(f"Wrote {output}.", err=True)


def _write_script(found: Audit, path: Path) -> None:
    from fruitscale.gdpr.remedy_script import script

    _write_new(path, script(found), "--fix")
    echo(f"Wrote {path}: review it before you run any of it.", err=True)


def _write_new(path: Path, text: str, flag: str) -> None:
    from fruitscale.errors import UsageError

    try:
        with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already.", f"Give {flag} the name of a new file.") from None
    except OSError as error:
        raise UsageError(
            f"Can't write {path}: {error.strerror}.", f"Give {flag} a file in a writable folder."
        ) from error


STYLES = {"pass": "green", "fail": "bold red", "could not be checked": "yellow"}


def _print(found: Audit) -> None:
    from rich.text import Text

    from fruitscale.cli.screen import out, table_of

    for subject in dict.fromkeys(finding.subject for finding in found.findings):
        table = table_of("verdict", "setting", "found", "basis", title=subject, header=False)
        for each in found.findings:
            if each.subject == subject:
                verdict = Text(each.verdict, STYLES[each.verdict])
                table.add_row(verdict, each.setting, each.found, Text(each.basis, "dim"))
        out().print(table)
        out().print()
    _print_remedies([each for each in found.findings if each.verdict != "pass" and each.remedy])
    counts = ", ".join(f"{n} {verdict}" for verdict, n in found.counts.items())
    out().print(f"{counts}. Not legal advice: docs/gdpr.md explains what the audit covers.")


def _print_remedies(findings: list[AuditFinding]) -> None:
    from rich.text import Text

    from fruitscale.cli.screen import out

    if findings:
        out().print(Text("Remedies and inspection commands", style="bold"))
    for each in findings:
        out().print(Text(f"# {each.subject}, {each.setting}: {each.verdict}", style="dim"))
        out().print(Text(each.remedy))
    if findings:
        out().print()
