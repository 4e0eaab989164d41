"""Writes docs/spark-or-dask.md and its plot from the JSON of `fruitscale bench` and `fruitscale bench recovery`.

`make spark-or-dask PHOTOS=folder` measures, then runs this.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from fruitscale.bench.bench_page import BenchFiles, read
from fruitscale.bench.conclusions import conclude
from fruitscale.bench.result_tables import Rows, figure, to_markdown
from fruitscale.bench.results import Results, ScalingFit
from fruitscale.bench.variant_words import title
from tests.conftest import ROOT

MEASURED = ROOT / "benchmarks" / "results" / "spark-or-dask"
PAGE, PLOT = ROOT / "docs" / "spark-or-dask.md", ROOT / "docs" / "images" / "spark-or-dask.svg"
TONES = {"local": "#0067a5", "spark": "#b23c07", "dask": "#2b7a3d"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 320, 56, 44, 16


def main() -> None:
    """Write the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", action="store_true", help="other work ran on the machine meanwhile")
    is_shared, files = parser.parse_args().shared, BenchFiles()
    for name in ("bench.json", "recovery.json"):
        files = read(MEASURED / name, files)
    PAGE.write_text(page(files, is_shared=is_shared), encoding="utf-8")
    assert files.results is not None
    PLOT.write_text(plot(files.results), encoding="utf-8")


def page(files: BenchFiles, *, is_shared: bool = False) -> str:
    """Return the page as Markdown."""
    found = files.results
    assert found is not None
    here = found.environment
    verdicts = "".join(f"- {sentence}\n" for sentence in conclude(found, files.recovery))
    shared = " Other work ran on the machine meanwhile." * is_shared
    return TEMPLATE.format(
        verdicts=verdicts, table=to_markdown(_table(found)), date=found.started[:10], cpu=here.cpu, cores=here.cores,
        memory=f"{here.memory_gb:g}", version=here.fruitscale, commit=(here.commit or "unknown")[:12],
        runs=sum(s.kind in ("timed", "twin") for s in found.samples), shared=shared,
        spark=here.packages.get("pyspark", "?"), dask=here.packages.get("dask", "?"),
    )  # fmt: skip


def _table(found: Results) -> Rows:
    sizes = sorted({v.variant.images for v in found.variants})
    headings = ("engine", *(f"{n:,} photos, s" for n in sizes), "start, s", "ms per photo", "core hours per million")
    return Rows("Seconds of the whole command (medians), and the fitted line", headings, tuple(_rows(found)))


def _rows(found: Results) -> Iterator[tuple[str, ...]]:
    for line in found.growth:
        own = [v for v in found.variants if v.variant.engine == line.engine]
        seconds = [figure(v.seconds, 1) for v in sorted(own, key=lambda v: v.variant.images)]
        hours = line.seconds.at(1e6) / 3600 * line.slots
        fitted = (figure(line.seconds.intercept, 1), figure(line.seconds.slope * 1000, 1), figure(hours, 1))
        yield (title(line.engine), *seconds, *fitted)


def plot(found: Results) -> str:
    """Return the plot: every run, and each engine's line."""
    runs = [s for s in found.samples if s.kind in ("timed", "twin") and s.seconds is not None]
    most_photos = max(s.variant.images for s in runs) * 1.05
    most_seconds = max(s.seconds or 0.0 for s in runs) * 1.1

    def x(photos: float) -> float:
        return round(LEFT + photos / most_photos * (WIDTH - LEFT - 80), 1)

    def y(seconds: float) -> float:
        return round(HEIGHT - BOTTOM - seconds / most_seconds * (HEIGHT - BOTTOM - TOP), 1)

    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{LEFT} {TOP}V{y(0)}H{WIDTH - 80}" fill="none" stroke="#5a5f68"/>',
        f'<text x="{WIDTH / 2 - 30}" y="{HEIGHT - 6}" text-anchor="middle">photos</text>',
        f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">seconds</text>',
    ]
    for size in sorted({s.variant.images for s in runs}):
        parts.append(f'<text x="{x(size)}" y="{y(0) + 18}" text-anchor="middle">{size:,}</text>')
    for tick in (most_seconds / 1.1 / 2, most_seconds / 1.1):
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:.0f}</text>')
    for sample in runs:
        tone = TONES[sample.variant.engine]
        parts.append(
            f'<circle cx="{x(sample.variant.images)}" cy="{y(sample.seconds or 0)}" r="3.5" fill="{tone}" fill-opacity=".5"/>'
        )
    ends = _label_heights([y(line.seconds.at(max(line.images))) for line in found.growth])
    for line, height in zip(found.growth, ends, strict=True):
        parts += _line(line, x, y, height)
    words = "Seconds of each run over its photos, with a line per engine"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#1b1d21">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _line(line: ScalingFit, x: object, y: object, height: float) -> list[str]:
    assert callable(x) and callable(y)
    tone, (first, last) = TONES[line.engine], (min(line.images), max(line.images))
    ends = [(x(n), y(line.seconds.at(n))) for n in (first, last)]
    drawn = " L".join(f"{across} {down}" for across, down in ends)
    return [
        f'<path d="M{drawn}" stroke="{tone}" stroke-width="2"/>',
        f'<text x="{ends[1][0] + 26}" y="{height + 4}" fill="{tone}" font-weight="600">{title(line.engine)}</text>',
    ]


def _label_heights(heights: Sequence[float]) -> list[float]:
    """Return the heights of labels, moved apart where they would overlap."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved, last = list(heights), float("-inf")
    for i in order:
        last = moved[i] = max(heights[i], last + 17)
    return moved


TEMPLATE = """# Spark or Dask?

{verdicts}
**When to choose which**

- **One machine:** `local`, unless the list above names a faster engine at your number of photos. It starts at once and
  needs the least memory.
- **A cluster you have:** the engine it runs. Spark for YARN, EMR and Databricks, Dask for a Dask scheduler. On either, nearly
  all of the time is the network's inference.
- **A cluster for one run:** [EMR](emr.md), with Spark, if you use it already; otherwise [EC2 with Dask](ec2-dask.md), which has
  no surcharge per machine.
- **Your own Spark or Dask job:** stay in it; [features are a column](python.md) there.

{table}
![Seconds of each run over its photos, with a line per engine](images/spark-or-dask.svg)

Measured on {date} with fruitscale {version} (commit {commit}), Spark {spark} and Dask {dask}, on {cores} cores of an {cpu} with
{memory} GB: {runs} timed runs of the whole command, in random order, each with its result checked.{shared} "Start" is the time
that does not depend on the photos: Python, the engine, the PCA. Beyond the photos measured, the lines are extrapolated. See
[how to read the verdicts](bench.md).

To repeat it with your photos on your machine, and rewrite this page:

```bash
make spark-or-dask PHOTOS=photos
```
"""

if __name__ == "__main__":
    main()
