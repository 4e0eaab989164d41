"""The command line: one file a verb. Parses, calls one function, renders."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from fruitscale.cli import (
    apply_command,
    bench_command,
    cluster_command,
    config_command,
    doctor_command,
    drift_command,
    erase_command,
    evaluate_command,
    export_command,
    gdpr_command,
    init_command,
    model_command,
    report_command,
    run_command,
    sample_command,
    show_command,
)
from fruitscale.config.version import __version__
from fruitscale.errors import FruitscaleError

app = typer.Typer(
    name="fruitscale",
    help="Fruit photos to image features to principal components, through Spark, Dask or local processes.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init_command.init)
app.command("run")(run_command.run)
app.command("apply")(apply_command.apply)
app.command("show")(show_command.show)
app.command("report")(report_command.report)
app.command("evaluate")(evaluate_command.evaluate)
app.command("drift")(drift_command.drift)
app.command("export")(export_command.export)
app.command("erase")(erase_command.erase)
app.command("sample")(sample_command.sample)
app.command("doctor")(doctor_command.doctor)
app.add_typer(bench_command.app, name="bench")
app.add_typer(cluster_command.app, name="cluster")
app.add_typer(config_command.app, name="config")
app.add_typer(gdpr_command.app, name="gdpr")
app.add_typer(model_command.app, name="model")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fruitscale {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Fruit photos to image features to principal components, through Spark, Dask or local processes."""


def main() -> None:
    """Run the command line, and end with its exit code. The one place where errors are caught."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job that is told to end ends like one interrupted
    try:
        app()
    except FruitscaleError as error:
        if "--verbose" in sys.argv:
            import traceback

            traceback.print_exception(error)
        _tell(error.message, error.hint)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _tell("Stopped.", None)
        sys.exit(130)
    except Exception as error:
        if "--verbose" in sys.argv:
            raise
        _tell(
            f"This should not happen: {type(error).__name__}: {error}",
            "Run it again with --verbose, and report what it prints.",
        )
        sys.exit(1)


def _tell(message: str, hint: str | None) -> None:
    from fruitscale.cli.screen import print_error

    print_error(message, hint)
