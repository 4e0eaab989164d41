"""A benchmark's results as tables of text, for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fruitscale.bench.bench_statistics import Ratio
from fruitscale.bench.measure import STAGES
from fruitscale.bench.overhead import Overhead
from fruitscale.bench.recovery import Recovery
from fruitscale.bench.results import ComparisonResult, Results, ScalingFit, VariantResult
from fruitscale.bench.variant_words import VariantWords, title


@dataclass(frozen=True)
class Rows:
    """One table. The first `texts` columns are text, the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1


def tables(results: Results) -> list[Rows]:
    """Return the tables that have rows: variants, stages, comparisons, scaling, growth, cold starts and failures."""
    words = words_for(results)
    all_tables = [
        _speeds(results, words),
        _resources(results, words),
        _stages(results.variants, words),
        _comparisons(results, words),
        _scaling(results.comparisons, words),
        _growth(results.growth, words),
        _cold(results, words),
        _failures(results, words),
    ]
    return [table for table in all_tables if table.rows]


def words_for(results: Results) -> VariantWords:
    """Return the names of the variants."""
    return VariantWords(tuple(found.variant for found in results.variants))


def markdown(results: Results, sentences: Iterable[str] = ()) -> str:
    """Return the results as Markdown: the sentences, the environment, the notes, and every table."""
    lists = (list(sentences), [*environment_lines(results), *results.notes])
    texts = ["\n".join(f"- {line}" for line in lines) for lines in lists if lines]
    return "\n\n".join([*texts, "\n".join(to_markdown(table) for table in tables(results))])


def to_markdown(table: Rows) -> str:
    """Return one table as Markdown."""
    rule = ["---"] * table.texts + ["---:"] * (len(table.headings) - table.texts)
    lines = [table.headings, rule, *([cell.replace("|", "\\|") for cell in row] for row in table.rows)]
    return f"**{table.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def environment_lines(results: Results) -> list[str]:
    """Return the machine, the versions, the commit and the seed as lines of text."""
    e = results.environment
    commit = "unknown commit" if e.commit is None else f"commit {e.commit[:12]}{' with changes' if e.dirty else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in e.packages.items())
    return [
        f"{results.started}, {e.cpu}, {e.cores} cores, {e.memory_gb:g} GB, {e.platform}",
        f"fruitscale {e.fruitscale}, {commit}, config {e.config_sha256[:12]}, seed {results.seed}",
        f"Python {e.python}, {versions}",
        f"Compared: the seconds of {'the whole process' if results.compare == 'process' else results.compare}",
        *([f"Every run: {shared}"] if (shared := words_for(results).shared) else []),
    ]


def _speeds(results: Results, words: VariantWords) -> Rows:
    rows = tuple(
        (
            words.name(v.variant),
            str(v.runs),
            figure(v.seconds, 2),
            figure(v.stages.get("featurize"), 2),
            figure(v.images_per_second),
            figure(v.images_per_second_per_slot),
        )
        for v in results.variants
    )
    headings = ("variant", "runs", "process s", "featurize s", "images/s", "per slot")
    return Rows("Speed (medians)", headings, rows)


def _resources(results: Results, words: VariantWords) -> Rows:
    priced = any(v.cost_per_million is not None for v in results.variants)
    rows = tuple(_resource_row(v, words.name(v.variant), priced=priced) for v in results.variants)
    headings = ("variant", "CPU s", "peak MB", "components", "variance kept", *(["cost per million"] if priced else []))
    return Rows("Resources and results (medians)", headings, rows)


def _resource_row(v: VariantResult, name: str, *, priced: bool) -> tuple[str, ...]:
    retained = "-" if v.retained_variance is None else f"{v.retained_variance:.6f}"
    cells = (name, figure(v.cpu_seconds, 1), figure(v.peak_mb), figure(v.components), retained)
    return (*cells, figure(v.cost_per_million, 2)) if priced else cells


def _stages(variants: Iterable[VariantResult], words: VariantWords) -> Rows:
    rows = tuple(
        (words.name(v.variant), *(figure(v.stages[stage], 2 if v.stages[stage] < 100 else 0) for stage in STAGES))
        for v in variants
        if v.stages
    )
    return Rows("Seconds of the stages, as in run.json (medians)", ("variant", *STAGES), rows)


def _comparisons(results: Results, words: VariantWords) -> Rows:
    rows: list[tuple[str, ...]] = [
        (
            words.pair(c.subject, c.baseline),
            *ratio_cells(c.ratio),
            _percent(c.floor),
            c.verdict or "too few pairs",
        )
        for c in results.comparisons
    ]
    rows += [
        (f"A/A: {words.name(c.subject)}", *ratio_cells(c.ratio), _percent(c.floor), "noise floor")
        for c in results.floors
    ]
    return Rows("Pairs", ("seconds of", "pairs", "ratio", "95 %", "floor", "verdict"), tuple(rows))


def ratio_cells(ratio: Ratio | None) -> tuple[str, str, str]:
    """Return the number of pairs, their median ratio and its interval."""
    if ratio is None:
        return "0", "-", "-"
    return str(ratio.pairs), f"{ratio.median:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}"


def _scaling(comparisons: Iterable[ComparisonResult], words: VariantWords) -> Rows:
    rows = []
    for c in comparisons:
        if c.subject.slots != c.baseline.slots and c.ratio is not None:
            speed_up = 1 / c.ratio.median
            ideal = c.subject.slots / c.baseline.slots
            slots = f"{c.baseline.slots} to {c.subject.slots}"
            rows.append((words.name(c.subject), slots, f"{speed_up:.2f}", f"{speed_up / ideal:.0%}"))
    return Rows("Strong scaling", ("variant", "slots", "speed-up", "efficiency"), tuple(rows))


def _growth(growth: Sequence[ScalingFit], words: VariantWords) -> Rows:
    rows = [
        (
            words.line(g.engine, g.slots, g.precision),
            " ".join(f"{n:,}" for n in g.images),
            f"{g.seconds.intercept:.2f}",
            f"{g.seconds.slope * 1000:.3f}",
            f"{g.seconds.r_squared:.4f}",
            f"{g.seconds.worst:.1%}",
            f"{g.peak_mb.slope * 1000:+.2f}",
        )
        for g in growth
    ]
    headings = ("variant", "images", "start s", "ms per image", "R²", "largest residual", "MB per 1,000 images")
    return Rows("Growth with the number of images (straight lines)", headings, tuple(rows))


def _cold(results: Results, words: VariantWords) -> Rows:
    rows = tuple(
        (
            words.name(s.variant),
            figure(s.seconds, 2),
            figure(s.stages.get("export"), 2),
            figure(s.stages.get("start"), 2),
        )
        for s in results.cold
    )
    return Rows(
        "Cold start: first run, including the model export", ("variant", "process s", "export s", "start s"), rows
    )


def _failures(results: Results, words: VariantWords) -> Rows:
    rows = tuple(
        (words.name(s.variant), f"{s.kind} {s.round or ''}".strip(), s.outcome, s.message) for s in results.failed
    )
    return Rows("Failures", ("variant", "run", "outcome", "message"), rows, texts=4)


def overhead_rows(found: Iterable[Overhead]) -> Rows:
    """Return the table of `bench overhead`."""
    rows = tuple(
        (title(o.engine), str(o.slots), f"{o.tasks:,}", figure(o.ms_per_task, 2), figure(o.start_seconds, 2), o.failure)
        for o in found
    )
    return Rows("Empty tasks", ("engine", "slots", "tasks", "ms per task", "start s", "failure"), rows)


def recovery_rows(found: Iterable[Recovery]) -> Rows:
    """Return the table of `bench recovery`: a column for each engine."""
    names = ("images", "undisturbed s", "disturbed s", "lost s", "of which capacity s", "parts at kill",
             "images redone", "images kept", "task retries", "same result")  # fmt: skip
    engines = tuple(found)
    rows = tuple(zip(names, *map(_recovery_column, engines), strict=True))
    return Rows("One of two workers killed halfway through the run", ("", *(title(r.engine) for r in engines)), rows)


def _recovery_column(r: Recovery) -> tuple[str, ...]:
    if r.failure:
        return (f"{r.images:,}", *(["-"] * 8), f"failed: {r.failure}")
    return (
        f"{r.images:,}",
        figure(r.undisturbed_seconds, 2),
        figure(r.disturbed_seconds, 2),
        figure(r.lost_seconds, 2),
        figure(r.capacity_seconds, 2),
        f"{r.parts_at_kill} of {r.parts}",
        figure(r.remade_images),
        figure(r.kept_images),
        figure(r.task_retries),
        "yes" if r.same_answer else "NO",
    )


def figure(value: float | None, digits: int = 0) -> str:
    """Format a number, or a dash for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
