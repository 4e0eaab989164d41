"""The command line: one file a verb. Parses, calls one function, renders."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from fruitscale import __version__
from fruitscale.cli import (
    apply,
    bench,
    cluster,
    config,
    doctor,
    drift,
    erase,
    evaluate,
    export,
    gdpr,
    init,
    model,
    report,
    run,
    sample,
    show,
)
from fruitscale.errors import FruitscaleError

app = typer.Typer(
    name="fruitscale",
    help="Fruit photos to image features to principal components, through Spark, Dask or local processes.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("apply")(apply.apply)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("evaluate")(evaluate.evaluate)
app.command("drift")(drift.drift)
app.command("export")(export.export)
app.command("erase")(erase.erase)
app.command("sample")(sample.sample)
app.command("doctor")(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(cluster.app, name="cluster")
app.add_typer(config.app, name="config")
app.add_typer(gdpr.app, name="gdpr")
app.add_typer(model.app, name="model")


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
