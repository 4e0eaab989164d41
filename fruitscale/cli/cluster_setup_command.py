"""fruitscale cluster setup: what runs on AWS need in an account, as a CloudFormation stack."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fruitscale.cli.options import ConfigFile, Sets, load_config
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.clusters.account.account_setup import ProposedSetup
    from fruitscale.clusters.account.setup_choices import SetupChoices
    from fruitscale.clusters.account.stacks import ChangeSet

TemplateFile = Annotated[
    Optional[Path],  # noqa: UP045  Typer reads it
    typer.Option(
        "--template", metavar="FILE", help="Write the template (JSON, or YAML for .yaml) without a request to AWS."
    ),
]
Apply = Annotated[bool, typer.Option("--apply", help="Show the changes, ask, and create or update the stack.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
KEY_USD, ENDPOINT_USD = 1, 8
"""About what a KMS key and an interface endpoint cost per month."""


def setup(
    config: ConfigFile = None,
    sets: Sets = None,
    template: TemplateFile = None,
    apply: Apply = False,
    yes: Yes = False,
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Only what costs nothing by itself: no key of your own, no endpoints.")
    ] = False,
    input_bucket: Annotated[
        bool, typer.Option("--input-bucket", help="Create the bucket of the photos too, if it does not exist.")
    ] = False,
    email: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--email", metavar="ADDRESS", help="Address that AWS alerts when the budget is nearly spent."),
    ] = None,
    budget: Annotated[int, typer.Option("--budget", metavar="USD", min=1, help="The account's monthly budget.")] = 50,
    stack: Annotated[str, typer.Option("--stack", metavar="NAME", help="Name of the stack.")] = "fruitscale",
) -> None:
    """Set up an AWS account for a config, once: buckets, key, roles, network and budget, as a CloudFormation stack.

    With --apply, the new roles, subnets, buckets and key are written into the --config file. Existing buckets stay as they
    are; deleting the stack keeps its buckets and its key.
    """
    from fruitscale.clusters.account import account_setup
    from fruitscale.errors import UsageError

    if template is not None and apply:
        raise UsageError("Both --template and --apply were given.", "Give one of them.")
    given = load_config(config, sets).config
    options = account_setup.SetupOptions(stack, minimal, input_bucket, email, budget)
    if apply:
        _apply(account_setup.propose(given, options), config, yes=yes)
        return
    choices = account_setup.choices_of(given, options)
    _show_choices(choices)
    if template is None:
        echo("Nothing was created. Write it to a file: --template FILE. Create it: --apply.")
        return
    write_template(template, choices)


def write_template(path: Path, choices: SetupChoices) -> None:
    """Write the template of a set-up."""
    from fruitscale.clusters.account import setup_template

    write_text(path, setup_template.as_text(setup_template.template(choices), path.name))
    echo(f"{path} is written. After its stack is created, fill the config: fruitscale cluster setup --apply --config …")


def write_text(path: Path, text: str) -> None:
    """Write a file. Raises OutputError."""
    from fruitscale.errors import OutputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}.", "Name another file.") from None


def confirm_changes(change_set: ChangeSet, *, yes: bool) -> bool:
    """Show a change set and ask whether to carry it out. Raises UsageError without a terminal and --yes."""
    from fruitscale.cli.screen import out, table_of
    from fruitscale.errors import UsageError

    if not change_set.changes:
        echo(f"The stack {change_set.stack} is up to date.")
        return True
    table = table_of("change", "resource", "type", title=f"Stack {change_set.stack}")
    for change in change_set.changes:
        table.add_row(change.action.lower() + (", replaced" if change.replaced else ""), change.name, change.kind)
    out().print(table)
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            "This is not a terminal, so fruitscale cannot ask for confirmation.", "Repeat the command with --yes."
        )
    return typer.confirm("Make these changes?", default=False)


def _apply(proposed: ProposedSetup, config: Path | None, *, yes: bool) -> None:
    from fruitscale.cli.run_results import print_progress
    from fruitscale.clusters.account import account_setup

    _show_choices(proposed.choices)
    for bucket in proposed.existing:
        echo(f"s3://{bucket} exists and stays as it is: check it with fruitscale gdpr audit.")
    if proposed.encrypts_disks:
        echo("The encryption of all new EBS volumes in this account and region will be turned on.")
    agreed = False
    try:
        agreed = confirm_changes(proposed.change_set, yes=yes)
    finally:
        if not agreed:
            account_setup.discard(proposed)
    if not agreed:
        echo("Nothing was changed.")
        return
    _fill(config, account_setup.apply(proposed, print_progress))


def _fill(config: Path | None, settings: dict[str, Any]) -> None:
    from fruitscale.config.filled_file import fill

    if config is None:
        echo("Settings for your config:")
        echo(fill("", settings), nl=False)
        return
    write_text(config, fill(config.read_text(encoding="utf-8"), settings))
    echo(f"{config} is filled in. Check it: fruitscale cluster plan --config {config}")


def _show_choices(choices: SetupChoices) -> None:
    from fruitscale.clusters.account.network_resources import interface_endpoints
    from fruitscale.clusters.account.setup_template import gives_up

    for sentence in gives_up(choices):
        echo(sentence)
    if not choices.minimal:
        endpoints = interface_endpoints(choices)
        monthly = KEY_USD + ENDPOINT_USD * len(endpoints)
        named = f" and the endpoints of {', '.join(endpoints)}" if endpoints else ""
        echo(f"The key{named} cost about {monthly} USD per month, even without a run; --minimal does without them.")
    if choices.email is None:
        echo("The budget sends no alerts; set --email ADDRESS.")
