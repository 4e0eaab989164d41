"""The HTML page of a benchmark: verdicts, time by stage, scaling, and everything that was measured."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from fruitscale.bench import bench_charts, conclusions, result_tables, results
from fruitscale.bench.overhead import Overhead
from fruitscale.bench.recovery import Recovery
from fruitscale.bench.results import Results
from fruitscale.config.regular_files import read_regular
from fruitscale.errors import InputError, OutputError
from fruitscale.report import html_page

if TYPE_CHECKING:
    from bokeh.models import Plot

NAMES = ("bench.json", "recovery.json", "overhead.json")
"""The files read from a folder: the JSON of `bench`, `bench recovery` and `bench overhead`."""


@dataclass(frozen=True)
class BenchFiles:
    """The results read from the JSON files; `raw` is the text of each file."""

    results: Results | None = None
    recovery: tuple[Recovery, ...] = ()
    overhead: tuple[Overhead, ...] = ()
    raw: Mapping[str, str] = field(default_factory=dict)


def is_bench(path: Path) -> bool:
    """Return True if a path is a JSON file, or a folder with a JSON file of the bench."""
    return (path.suffix == ".json" and path.is_file()) or any((path / name).is_file() for name in NAMES)


def publish(path: Path) -> Path:
    """Write the page of a benchmark beside its JSON and return its path. Raises InputError or OutputError."""
    html_page.check_installed()
    files = [path] if path.is_file() else [path / name for name in NAMES if (path / name).is_file()]
    read_so_far = BenchFiles()
    for file in files:
        read_so_far = read(file, read_so_far)
    target = files[0].with_suffix(".html")
    try:
        target.write_bytes(make_bench_page(read_so_far))
    except OSError as error:
        raise OutputError(
            f"{target} can't be written: {error.strerror}.", "Check the permissions of its folder."
        ) from None
    return target


def read(file: Path, known: BenchFiles) -> BenchFiles:
    """Return `known` with one more file: of `bench`, `bench recovery` or `bench overhead`. Raises InputError."""
    try:
        text = read_regular(file).decode()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} can't be read: {error}.", "Give a file that fruitscale bench wrote with --out."
        ) from None
    known = replace(known, raw={**known.raw, file.name: text})
    if text.lstrip().startswith("{"):
        try:
            return replace(known, results=results.from_json(text))
        except InputError as error:
            raise InputError(
                f"{file}: {error.message}", "Give a file that fruitscale bench wrote with --out."
            ) from None
    kind = Recovery if "undisturbed_seconds" in text else Overhead
    try:
        rows = TypeAdapter(tuple[kind, ...]).validate_json(text)  # type: ignore[valid-type]
    except ValidationError:
        raise InputError(
            f"{file} was not written by fruitscale bench.", "Give the JSON of bench, bench recovery or bench overhead."
        ) from None
    return replace(known, recovery=rows) if kind is Recovery else replace(known, overhead=rows)


def make_bench_page(files: BenchFiles) -> bytes:
    """Return the page."""
    found, plots = files.results, _plots(files.results)
    facts: dict[str, Any] = {
        "title": "Benchmark",
        "measured": files,
        "found": found,
        "downloads": {name: _data_uri(text) for name, text in files.raw.items()},
        "recovery": result_tables.recovery_rows(files.recovery) if files.recovery else None,
        "overhead": result_tables.overhead_rows(files.overhead) if files.overhead else None,
        "has": plots.keys(),
    }
    if found is None:
        facts["sentences"] = [conclusions.lost_machine(one) for one in files.recovery]
    else:
        words = result_tables.words_for(found)
        facts |= {
            "sentences": conclusions.conclude(found, files.recovery),
            "words": words,
            "tables": {table.title: table for table in result_tables.tables(found)},
            "environment": result_tables.environment_lines(found),
            "whiskers": bench_charts.whiskers(found.comparisons),
            "floors": bench_charts.whiskers(found.floors),
            "bars": bench_charts.bars(found.variants),
            "parts": [(part, bench_charts.TONES[part]) for part in bench_charts.PARTS],
            "styles": bench_charts.engine_styles(found),
            "line_styles": {axis: bench_charts.line_style_caption(found, axis) for axis in ("slots", "images")},
            "most_mb": max((v.peak_mb for v in found.variants), default=0.0) or 1.0,
        }
    return html_page.render("bench.html", facts, {"looks": []}, plots)


def _plots(found: Results | None) -> dict[str, Plot]:
    if found is None:
        return {}
    plots = {
        "scaling": bench_charts.scaling(found),
        "growth": bench_charts.growth(found, "seconds"),
        "memory": bench_charts.growth(found, "peak_mb"),
    }
    return {name: plot for name, plot in plots.items() if plot is not None}


def _data_uri(text: str) -> str:
    return f"data:application/json;base64,{base64.b64encode(text.encode()).decode()}"
