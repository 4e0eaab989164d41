"""fruitscale bench: compare the engines' speed and memory on your photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fruitscale.cli.json_output import print_json, print_text
from fruitscale.cli.options import ConfigFile, Json, Sets, load_config

if TYPE_CHECKING:
    from fruitscale.bench.result_tables import Rows
    from fruitscale.bench.results import Results
    from fruitscale.config.schema import Config

app = typer.Typer(help="Benchmark the engines on your photos, in pairs of runs.", invoke_without_command=True)

InputUri = Annotated[
    Optional[str],  # noqa: UP045  Typer reads it
    typer.Option("--input", "-i", metavar="FOLDER", help="The folder of photos, one subfolder per label."),
]
Engines = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--engines", metavar="NAMES", help="The first is the baseline. Default: local,spark,dask."),
]
Numbers = Optional[str]  # noqa: UP045
MOST_TASKS = 1_000_000
NARROWEST = 9
"""Characters of a heading's line."""


@app.callback()
def bench(
    context: typer.Context,
    config: ConfigFile = None,
    input_uri: InputUri = None,
    engines: Engines = None,
    slots: Annotated[
        Numbers, typer.Option("--slots", metavar="NUMBERS", help="Photos at once, such as 1,2. Default: one per core.")
    ] = None,
    images: Annotated[
        Numbers, typer.Option("--images", metavar="NUMBERS", help="Such as 1000,5000,20000. Default: 1000.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", metavar="NUMBER", help="Maximum number of pairs. Default: 20.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="NUMBER", help="Seed of the order of runs. Default: 0.")
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder for bench.json (also readable by pytest-benchmark) and bench.md.",
        ),
    ] = None,
    out: Annotated[Optional[Path], typer.Option("--out", hidden=True)] = None,  # noqa: UP045  its earlier name
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Run the real command repeatedly, in seeded random order, and compare engines, slots and precisions in pairs.

    Every result is checked before its time counts. docs/bench.md explains the tables.
    """
    if context.invoked_subcommand is not None:
        return
    given = _config(config, sets, input_uri, engines, bench__slots=_numbers("--slots", slots),
                    bench__images=_numbers("--images", images), bench__repeats=repeats, bench__seed=seed)  # fmt: skip
    from fruitscale.bench import conclusions, result_tables, results, trial

    _check_writable(out := output or out)
    found = trial.run_bench(given, _log)
    text, sentences = results.to_json(found), conclusions.conclude(found)
    if out is not None:
        (out / "bench.json").write_text(text, encoding="utf-8")
        (out / "bench.md").write_text(result_tables.markdown(found, sentences), encoding="utf-8")
    print_text(text) if json else _print_results(found, sentences)


@app.command()
def overhead(
    config: ConfigFile = None,
    engines: Engines = None,
    tasks: Annotated[
        str, typer.Option("--tasks", metavar="NUMBERS", help="Numbers of empty tasks.")
    ] = "100,1000,10000",
    repeats: Annotated[
        int, typer.Option("--repeats", metavar="NUMBER", min=1, help="Repetitions for each number of tasks.")
    ] = 3,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Print each engine's overhead in milliseconds per empty task."""
    given = _config(config, sets, None, engines)
    from fruitscale.bench.overhead import measure_overhead
    from fruitscale.bench.result_tables import overhead_rows
    from fruitscale.errors import UsageError

    numbers = [number for number in _numbers("--tasks", tasks) or [] if isinstance(number, int)]
    if max(numbers) > MOST_TASKS:
        raise UsageError(f"--tasks: at most {MOST_TASKS:,}, got {max(numbers):,}.", "Example: --tasks 100,1000")
    found = measure_overhead(given, given.bench.engines, numbers, repeats, _log)
    _show(found, overhead_rows(found), as_json=json)


@app.command()
def recovery(
    config: ConfigFile = None,
    input_uri: InputUri = None,
    engines: Annotated[str, typer.Option("--engines", metavar="NAMES", help="spark, dask, or both.")] = "spark,dask",
    images: Annotated[Numbers, typer.Option("--images", metavar="NUMBER", help="Number of photos.")] = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Kill one of two workers halfway through a run, on a real cluster of each engine, and print the time it costs."""
    given = _config(config, sets, input_uri, engines, bench__images=_numbers("--images", images))
    from fruitscale.bench.conclusions import lost_machine
    from fruitscale.bench.recovery import CLUSTERS, measure_recovery
    from fruitscale.bench.result_tables import recovery_rows
    from fruitscale.errors import UsageError

    if unknown := set(given.bench.engines) - set(CLUSTERS):
        raise UsageError(f"The engine {', '.join(sorted(unknown))} has no cluster.", "Use --engines spark,dask")
    found = [measure_recovery(given, engine, _log) for engine in given.bench.engines]
    _show(found, recovery_rows(found), as_json=json)
    if not json:
        _print_sentences([lost_machine(engine) for engine in found])


def _config(config: Path | None, sets: list[str] | None, input_uri: str | None, engines: str | None,
            **flags: object) -> Config:  # fmt: skip
    names = None if engines is None else [name.strip() for name in engines.split(",")]
    return load_config(config, sets, input__uri=input_uri, bench__engines=names, **flags).config


def _numbers(flag: str, text: str | None) -> list[int | str] | None:
    """Parse numbers such as `1,2`; --slots may also be `auto`. Raises UsageError for anything else."""
    from fruitscale.errors import UsageError

    if text is None:
        return None
    words = [word.strip().replace("_", "") for word in text.split(",")]
    if not all(word.isdecimal() or (word == "auto" and flag == "--slots") for word in words):
        raise UsageError(f"{flag} {text}: expected whole numbers separated by commas.", f"Example: {flag} 1,2")
    return [word if word == "auto" else int(word) for word in words]


def _check_writable(out: Path | None) -> None:
    """Create the folder of the results now, rather than fail after an hour of runs."""
    from fruitscale.errors import OutputError

    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be created: {error.strerror}.", "Choose another --output.") from None


def _log(line: str) -> None:
    from fruitscale.display.terminal import print_line

    print_line(line)


def _print_results(found: Results, sentences: list[str]) -> None:
    from fruitscale.bench.result_tables import environment_lines, tables
    from fruitscale.cli.screen import out

    for line in (*environment_lines(found), *found.notes):
        out().print(line, style="dim")
    for table in tables(found):
        out().print()
        out().print(_rich(table))
    _print_sentences(sentences)
    if found.growth and not any(v.cost_per_million for v in found.variants):
        out().print("The cost in money: --set bench.price_per_core_hour=PRICE", style="dim")


def _print_sentences(sentences: list[str]) -> None:
    from fruitscale.cli.screen import out

    out().print()
    for sentence in sentences:
        out().print(sentence)


def _show(found: list[Any], rows: Rows, *, as_json: bool) -> None:
    from fruitscale.cli.screen import out

    if as_json:
        print_json(found)
        return
    out().print(_rich(rows))


def _rich(rows: Rows) -> Any:  # noqa: ANN401  Rich is imported on first use
    from fruitscale.cli.screen import table_of

    headings = [_broken(heading, [row[at] for row in rows.rows]) for at, heading in enumerate(rows.headings)]
    table = table_of(*headings, title=rows.title, right=headings[rows.texts :])
    for column in table.columns[rows.texts :]:
        column.no_wrap = True
    for row in rows.rows:
        table.add_row(*row)
    return table


def _broken(heading: str, cells: list[str]) -> str:
    """Return a heading in lines that are not much wider than its column."""
    import textwrap

    return textwrap.fill(heading, max(NARROWEST, *map(len, cells)), break_long_words=False) if cells else heading
