"""`fruitscale similar` against brute force in NumPy, on a real run and a large one made from it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import paired
from fruitscale.runs import manifest, parts
from fruitscale.runs.parts import Part
from fruitscale.runs.reader import COLUMNS, CompleteRun, open_complete
from fruitscale.runs.run_folder import PLAN, REDUCED, RunFolder
from fruitscale.search.exact_neighbours import Block
from fruitscale.search.exact_neighbours import nearest as search
from fruitscale.storage.listing import Photo
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import LocalStore

QUERIES, NEIGHBOURS, NOISE = 5, 20, 0.05
CHILD = """
import json, sys, time
import fruitscale
run, photo, by, k = sys.argv[1:]
peak = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1e3
before, began = peak(), time.perf_counter()
found = fruitscale.similar(run, photo, int(k), by)
seconds = time.perf_counter() - began
print(json.dumps({"paths": [p.path for p in found.photos], "search": found.seconds, "call": seconds,
                  "peak_mb": peak(), "before_mb": before}))
"""


def main() -> None:
    """Measure, and print one line per run and kind of vectors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="a complete run of real photos")
    parser.add_argument("--images", type=int, default=90_380)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with paired.working_folder() as work:
        large = enlarged(open_complete(options.run, StorageAccess()), work / "large", options.images)
        for run in (options.run, str(large)):
            rows += [measure(run, by) for by in ("components", "features")]
    paired.write_figure("similar", {"rows": rows}, paired.settings(engine="local"))


def enlarged(run: CompleteRun, target: Path, images: int) -> Path:
    """Write a run of the photos of a run, repeated with noise on their vectors, in parts of the size of a real run's."""
    store, folder = LocalStore(target), RunFolder(LocalStore(target))
    generator, files = np.random.default_rng(0), dict[str, str]()
    size = -(-images // 1000)
    for place, column in COLUMNS.items():
        found = list(run.parts(place))
        values = np.concatenate([part.values for part in found])
        labels = [label for part in found for label in part.labels]
        spread = NOISE * values.std(axis=0)
        for number, start in enumerate(range(0, images, size)):
            rows = np.arange(start, min(start + size, images))
            noisy = values[rows % len(values)] + spread * generator.standard_normal((len(rows), values.shape[1]))
            part = Part(
                [name_of(row) for row in rows.tolist()],
                [labels[row % len(labels)] for row in rows.tolist()],
                noisy.astype("f4"),
            )
            name = parts.name(place, number)
            files[name] = parts.write_vectors(store, name, column, part)
    photos = [Photo(name_of(row), labels[row % len(labels)], 1, "1-1") for row in range(images)]
    folder.write_manifest(manifest.build(photos))
    folder.write_rejects([])
    folder.write_components(run.read_components(), {})
    folder.write_plan(replace(run.plan, features=dict(run.plan.features)))
    counts = {"images": images, "bytes": images}
    record = run.record.model_copy(update={"input": run.record.input.model_copy(update=counts)})
    folder.write_record(record.model_copy(update={"files": files | folder.checksums}))
    assert PLAN in folder.checksums
    return target


def name_of(row: int) -> str:
    """Return a path; paths are in the order of the rows."""
    return f"{row // 1000:04d}/{row:06d}.jpg"


def measure(run: str, by: str) -> dict[str, Any]:
    """Compare with brute force over the whole run in memory; print and return the figures."""
    place = REDUCED if by == "components" else "features"
    found = list(open_complete(run, StorageAccess()).parts(place))
    values = np.concatenate([part.values for part in found]).astype(np.float64)
    paths, blocks = [path for part in found for path in part.paths], [part.values for part in found]
    same, calls, searches, peaks, alone = 0, [], [], [], []
    for row in np.linspace(0, len(paths) - 1, QUERIES).astype(int).tolist():
        apart = np.sqrt(((values - values[row]) ** 2).sum(axis=1))
        apart[row] = np.inf
        began = time.perf_counter()
        search(values[row : row + 1].astype(np.float32), map(Block, blocks), NEIGHBOURS + 1)
        alone.append(time.perf_counter() - began)
        nearest = [paths[i] for i in np.argsort(apart, kind="stable")[:NEIGHBOURS]]
        done = subprocess.run(
            [sys.executable, "-c", CHILD, run, paths[row], by, str(NEIGHBOURS)],
            capture_output=True,
            text=True,
            check=True,
        )
        answer = json.loads(done.stdout)
        same += answer["paths"] == nearest
        calls.append(answer["call"])
        searches.append(answer["search"])
        peaks.append(answer["peak_mb"])
    print(
        f"{len(paths):,} photos, {values.shape[1]} {by}: {same} of {QUERIES} equal to NumPy; search in memory "
        f"{paired.median(alone):.2f} s, with reading "
        f"{paired.median(searches):.2f} s, call {paired.median(calls):.2f} s, peak {max(peaks):.0f} MB",
        flush=True,
    )
    return {
        "photos": len(paths), "by": by, "width": values.shape[1], "same": same, "queries": QUERIES, "peak_mb": max(peaks),
        "memory_seconds": paired.median(alone), "search_seconds": paired.median(searches), "call_seconds": paired.median(calls),
    }  # fmt: skip


if __name__ == "__main__":
    main()
