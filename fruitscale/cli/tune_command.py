"""fruitscale tune: which network, input size and precision is the cheapest that is good enough?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fruitscale.cli.json_output import print_json
from fruitscale.cli.options import ConfigFile, InputUri, Json, Sets, Slots, load_config

if TYPE_CHECKING:
    from fruitscale.tuning.candidates import Wanted
    from fruitscale.tuning.tuning_results import Tuning

Words = Optional[str]  # noqa: UP045  Typer reads it


TestUri = Annotated[
    Words, typer.Option("--test", metavar="URI", help="Test photos, which share no fruit with those of --input.")
]
Photos = Annotated[int, typer.Option("--photos", metavar="NUMBER", min=20, help="Photos in the sample.")]
Tolerance = Annotated[
    float, typer.Option("--tolerance", metavar="POINTS", min=0, help="How much accuracy may be lost, in points.")
]
Series = Annotated[
    Words,
    typer.Option(
        "--series", metavar="REGEX", help="What names a shooting series in a path. Default: the name without its frame."
    ),
]
Networks = Annotated[
    Words, typer.Option("--networks", metavar="NAMES", help="Default: all whose weights are on this machine.")
]
Sizes = Annotated[Words, typer.Option("--sizes", metavar="NUMBERS", help="Input sizes. Default: 96,128,160,192,224.")]
Precisions = Annotated[
    Words, typer.Option("--precisions", metavar="NAMES", help="Default: all that this machine can compute in.")
]
Minutes = Annotated[
    float, typer.Option("--minutes", metavar="NUMBER", min=0, help="No candidate is begun after this time.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="NUMBER", min=0, help="Seed of the sample.")]
Folder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--output", "-o", metavar="FOLDER", help="Folder for tuned.yaml, tune.html and tune.json."),
]


def tune(
    config: ConfigFile = None,
    input_uri: InputUri = None,
    test_uri: TestUri = None,
    photos: Photos = 2000,
    tolerance: Tolerance = 1.0,
    series: Series = None,
    networks: Networks = None,
    sizes: Sizes = None,
    precisions: Precisions = None,
    minutes: Minutes = 10,
    seed: Seed = 0,
    slots: Slots = None,
    output: Folder = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Measure networks, input sizes and precisions on your photos, and recommend the cheapest that is good enough.

    The reference is the config's own model. Nothing is trained; docs/tune.md explains what is measured.
    """
    from fruitscale.display.terminal import print_line
    from fruitscale.tuning import tuner
    from fruitscale.tuning.tuned_files import check_folder, write_files

    given = load_config(config, sets, input__uri=input_uri, slots=slots).config

    if output is not None:
        check_folder(output)
    test = None if test_uri is None else load_config(config, sets, input__uri=test_uri, slots=slots).config
    wanted = _wanted(networks, sizes, precisions)
    request = tuner.TuneRequest(given, test, wanted, photos, tolerance / 100, series, seed, minutes)
    found = tuner.tune(request, print_line)
    written = [] if output is None else write_files(found, config, output)
    if json:
        print_json(found)
        return
    _show(found, written)


def _wanted(networks: str | None, sizes: str | None, precisions: str | None) -> Wanted:
    """Parse what to try. Raises UsageError for unknown names."""
    from fruitscale.config.schema import CHOICES, Model
    from fruitscale.errors import UsageError
    from fruitscale.tuning.candidates import Wanted

    def words(flag: str, text: str | None, known: tuple[str, ...]) -> list[str] | None:
        found = None if text is None else [word.strip() for word in text.split(",")]
        if unknown := [word for word in found or () if known and word not in known]:
            raise UsageError(f"{flag}: {unknown[0]} is unknown.", f"Choose from {', '.join(known)}.")
        return found

    numbers = words("--sizes", sizes, ())
    if wrong := [word for word in numbers or () if not word.isdecimal() or not 32 <= int(word) <= 2048]:
        raise UsageError(
            f"--sizes: {wrong[0]} is no input size.", "Sizes are between 32 and 2048, such as 128,160,224."
        )
    return Wanted(
        words("--networks", networks, CHOICES["architecture"]),
        None if numbers is None else [Model(input_size=int(word)).input_size for word in numbers],
        words("--precisions", precisions, CHOICES["precision"]),  # type: ignore[arg-type]
    )


def _show(found: Tuning, written: list[Path]) -> None:
    from fruitscale.cli.screen import out, table_of
    from fruitscale.tuning import tune_tables

    headings, rows = tune_tables.table(found.rows, found)
    networks = {row.candidate.architecture for row in found.rows}
    title = f"Candidates on {found.cpu}" + (f": {networks.pop()}" if len(networks) == 1 else "")
    table = table_of(*headings, title=title, right=[name for name in headings if name not in tune_tables.TEXTS])
    for row, cells in zip(found.rows, rows, strict=True):
        table.add_row(*cells, style="bold" if row == found.recommended else None)
    out().print(table)
    out().print(tune_tables.legend(found), style="dim")
    for line in found.left_out:
        out().print(f"Not tried: {line}", style="dim")
    for number, sentence in enumerate(tune_tables.conclude(found)):
        out().print(sentence, style="bold" if number == 0 else None)
    for path in written:
        out().print(f"Written: {path}")
