"""fruitscale cluster schedule: the same run again and again, without a machine of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from fruitscale.cli.cluster_setup_command import Apply, TemplateFile, Yes, confirm_changes, write_text
from fruitscale.cli.options import ConfigFile, Sets, load_config
from fruitscale.cli.plain_output import echo


def schedule(
    cron: Annotated[
        str, typer.Option("--cron", metavar="CRON", help='When, as in crontab: "0 2 * * *" is nightly at 2.')
    ],
    config: ConfigFile = None,
    sets: Sets = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the schedule.")] = "nightly",
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="As in Europe/Paris.")] = "UTC",
    template: TemplateFile = None,
    airflow: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it
        typer.Option("--airflow", metavar="FILE", help="Write an Airflow DAG instead of, or beside, the stack."),
    ] = None,
    apply: Apply = False,
    yes: Yes = False,
) -> None:
    """Run a config on EMR or EMR Serverless on a schedule: upload what it needs, and write or apply its stack.

    Each run updates the run in output.uri: features of photos that have not changed are kept. Nothing of this machine is
    needed afterwards; repeat the command after an upgrade of fruitscale or a change of the config.
    """
    from fruitscale.cli.run_results import print_progress
    from fruitscale.clusters.account import account_schedule
    from fruitscale.clusters.account.scheduled_launch import KEY_DAYS, stage
    from fruitscale.errors import UsageError

    given = load_config(config, sets).config
    if not (template or airflow or apply):
        raise UsageError(
            "Neither --template, --airflow nor --apply was given.",
            "Write the stack or a DAG: --template FILE, --airflow FILE. Create the stack: --apply.",
        )
    scheduled = stage(given, name, cron, timezone, print_progress)
    if airflow is not None:
        write_text(airflow, account_schedule.dag(scheduled))
        echo(f"{airflow} is written. Copy it into Airflow's dags folder.")
    if template is not None:
        write_text(template, account_schedule.template_text(scheduled, template.name))
        echo(f"{template} is written.")
    if apply and not _apply(account_schedule.propose(scheduled), yes=yes):
        echo("Nothing was changed.")
        return
    echo(
        f"Its job is in {scheduled.uri}. The machines' certificate is valid for {KEY_DAYS} days: repeat the command by then."
    )


def _apply(proposed: object, *, yes: bool) -> bool:
    from fruitscale.cli.run_results import print_progress
    from fruitscale.clusters.account import account_schedule

    assert isinstance(proposed, account_schedule.ProposedSchedule)
    agreed = False
    try:
        agreed = confirm_changes(proposed.change_set, yes=yes)
    finally:
        if not agreed:
            account_schedule.discard(proposed)
    if agreed:
        account_schedule.apply(proposed, print_progress)
    return agreed
