"""The command line: one module per command, which parses, calls one function and renders the result."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.models import CommandInfo

from fruitscale.cli import (
    apply_command,
    bench_command,
    classify_command,
    cluster_command,
    cluster_schedule_command,
    cluster_setup_command,
    config_command,
    doctor_command,
    drift_command,
    erase_command,
    evaluate_command,
    export_command,
    gdpr_command,
    help_screens,
    init_command,
    inspect_command,
    model_command,
    report_command,
    run_command,
    sample_command,
    show_command,
    similar_command,
    standard_streams,
    tune_command,
)
from fruitscale.cli.options import VERBOSE, is_verbose, take_verbose
from fruitscale.cli.plain_output import echo
from fruitscale.config.version import __version__
from fruitscale.display.formatting import printable
from fruitscale.errors import FruitscaleError
from fruitscale.storage.system_errors import explain

VERBOSE_HELP = "With any command, anywhere in it: show where each setting came from, and tracebacks."


class RootGroup(help_screens.Group):
    """The command group of the root, which takes --verbose wherever it stands."""

    def main(self, args: Any = None, *rest: Any, **options: Any) -> Any:  # noqa: ANN401  click's own signature
        """Parse and run a command."""
        return super().main(take_verbose(sys.argv[1:] if args is None else list(args)), *rest, **options)

    def make_context(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Parse the words before the command's name."""
        with _printable_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Parse the rest, and run the command."""
        with _printable_errors():
            return super().invoke(ctx)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Escape control characters in errors of wrong use, which repeat the words given: a glob may have added names."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # Typer has its own copy of click's exceptions, without a public name
            error.message = printable(str(error.message))  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    name="fruitscale",
    cls=RootGroup,
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
app.command("inspect")(inspect_command.inspect)
app.command("drift")(drift_command.drift)
app.command("classify")(classify_command.classify)
app.command("similar")(similar_command.similar)
app.command("export")(export_command.export)
app.command("erase")(erase_command.erase)
app.command("tune")(tune_command.tune)
app.command("sample")(sample_command.sample)
app.command("doctor")(doctor_command.doctor)
app.add_typer(bench_command.app, name="bench")
cluster_command.app.command("setup")(cluster_setup_command.setup)
cluster_command.app.command("schedule")(cluster_schedule_command.schedule)
app.add_typer(cluster_command.app, name="cluster")
app.add_typer(config_command.app, name="config")
app.add_typer(gdpr_command.app, name="gdpr")
app.add_typer(model_command.app, name="model")


def _complete(commands: Iterable[CommandInfo], prefix: str = "") -> None:
    """Give each command its example, and each of the root its panel."""
    for info in commands:
        name = f"{prefix}{info.name or info.callback.__name__.replace('_', '-')}"  # type: ignore[union-attr]
        info.cls, info.epilog = help_screens.Command, _epilog(name)
        info.rich_help_panel = None if prefix else help_screens.panel(name)


VERBOSE_EPILOG = f"{VERBOSE}, {VERBOSE_HELP[0].lower()}{VERBOSE_HELP[1:]}"


def _epilog(name: str) -> str:
    example = help_screens.EXAMPLES.get(name)
    lines = [*([f"Example: fruitscale {example}"] if example else []), VERBOSE_EPILOG]
    return "\n\n".join(lines)


_complete(app.registered_commands)
for _group in app.registered_groups:
    _name, _typer = str(_group.name), _group.typer_instance
    _group.rich_help_panel, _group.cls = help_screens.panel(_name), help_screens.Group
    _group.epilog = _epilog(_name)
    _complete(_typer.registered_commands, f"{_name} ")  # type: ignore[union-attr]


def _version(requested: bool) -> None:
    if requested:
        echo(f"fruitscale {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option(VERBOSE, "-v", help=VERBOSE_HELP)] = False,
) -> None:
    """Fruit photos to image features to principal components, through Spark, Dask or local processes."""


def main() -> None:
    """Run the command line and exit with its code. The one place where errors are caught."""
    standard_streams.protect()
    _interrupt_on_signals()
    try:
        app()
    except KeyboardInterrupt:
        _report("Stopped.", None)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  whatever it is, it is reported here
        standard_streams.drop_stdout()
        known = error if isinstance(error, FruitscaleError) else explain(error)
        if is_verbose():
            import traceback

            echo("".join(traceback.format_exception(error)), err=True, nl=False)
        if known is None:
            hint = "Run the command again with --verbose, and report what it prints."
            _report(f"This should not happen: {type(error).__name__}: {error}", hint)
            sys.exit(1)
        _report(known.message, known.hint)
        sys.exit(known.exit_code)


def _interrupt_on_signals() -> None:
    """Let a job that is terminated, or whose terminal closes, end like an interrupted one: once, whatever follows."""
    stops = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        stops.append(signal.SIGHUP)

    def stop(_number: int, _frame: object) -> None:
        for each in stops:
            signal.signal(each, lambda *_: None)  # a closing terminal sends several; the first one's cleanup goes on
        raise KeyboardInterrupt

    for each in stops:
        signal.signal(each, stop)


def _report(message: str, hint: str | None) -> None:
    from fruitscale.cli.screen import print_error

    print_error(message, hint)
