"""What the commands that run a job print at its end, and what they ask when a cluster run is interrupted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import typer

from fruitscale.cli.json_output import print_json, print_text
from fruitscale.cli.plain_output import echo

if TYPE_CHECKING:
    from fruitscale.clusters.cluster_run import LaunchResult
    from fruitscale.clusters.launch import Launch
    from fruitscale.runs.record import RunRecord


def print_record(record: RunRecord, *, as_json: bool, page: bool, unchanged: bool = False) -> None:
    """Print a run's record as JSON, or as a summary that names the report page if `page`: a short one if `unchanged`."""
    if as_json:
        print_text(record.to_json())
        return
    from fruitscale.cli.screen import out
    from fruitscale.cli.show_command import short_summary, summary
    from fruitscale.pipeline.input_listing import nothing_new

    if not record.input.images and not record.erased:
        echo(f"{nothing_new(record.input.uri, record.input.not_taken)} The run is empty, and complete.")
    if unchanged:
        out().print(short_summary(record, page=page))
        return
    out().print(summary(record, page=page))


def print_launch_result(result: LaunchResult, *, as_json: bool) -> None:
    """Print the record of a run on a cluster, or where to find a run that continues unwatched."""
    launch = result.launch
    if result.record is not None:
        print_record(result.record, as_json=as_json, page=result.has_page)
        if launch.config.report and not result.has_page:
            log = f"fruitscale cluster logs {launch.id} --config …"
            print_progress(f"Warning: report.html was not made on the cluster; the reason is in its log: {log}")
    elif as_json:
        print_json({"launch": launch.id, "uri": launch.uri, "output": launch.config.output.uri})
    else:
        echo(f"Launch {launch.id} is running. Check it: fruitscale cluster status {launch.id} --config …")


def ask_on_interrupt(launch: Launch) -> Literal["detach", "stop"]:
    """Ask at a terminal whether an interrupted run continues unwatched; without a terminal, return "stop"."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "stop"
    print_progress(f"\n{launch.id} is running on {launch.cluster.kind}.")
    try:
        detach = typer.confirm("Keep it running unwatched? (No: end its machines)", default=False, err=True)
    except (typer.Abort, KeyboardInterrupt):
        return "stop"
    return "detach" if detach else "stop"


def print_progress(text: str) -> None:
    """Print a line on stderr at once."""
    from fruitscale.display.terminal import print_line

    print_line(text)
