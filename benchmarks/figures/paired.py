"""Things that are timed side by side, in rounds, and what of it is kept as JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics as middle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from fruitscale.bench import bench_environment, process_tree
from fruitscale.bench.measure import command, environment_for
from fruitscale.bench.photo_sets import link_photos, list_paths
from fruitscale.bench.statistics import ratio_of
from fruitscale.config.loading import load
from fruitscale.config.schema import Config, Input
from tests.conftest import ROOT

QUICKSTART = ROOT / "configs" / "quickstart.yaml"
RESULTS = ROOT / "benchmarks" / "results"
TIMEOUT_SECONDS = 7200


def arguments(description: str | None, images: int, rounds: int) -> argparse.ArgumentParser:
    """Return the arguments that every figure has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--input", required=True, help="a folder of photos, one folder a label")
    parser.add_argument("--images", type=int, default=images, help="how many; photos are repeated under other names")
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def settings(**changed: object) -> Config:
    """Return the configuration of the quickstart (pretrained weights, no download) on 2 slots, with changes."""
    sets = {"slots": 2, "report": "false", **changed}
    return load(str(QUICKSTART), sets=[f"{key.replace('__', '.')}={value}" for key, value in sets.items()]).config


@contextmanager
def workplace() -> Iterator[Path]:
    """Make a folder to work in, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="fruitscale-figures-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def photos(source: str, images: int, folder: Path) -> Path:
    """Make a folder of so many photos."""
    return link_photos(source, list_paths(Input(uri=source)), images, folder).folder


def run(config: Config, source: str, output: str, work: Path, **variables: str) -> tuple[dict[str, Any], float, float]:
    """Run the command in a fresh process; return its record, its seconds and the peak MB of its processes."""
    update = {
        "input": config.input.model_copy(update={"uri": source}),
        "output": config.output.model_copy(update={"uri": output}),
    }
    path = work / "config.yaml"
    path.write_text(config.model_copy(update=update).model_dump_json(), encoding="utf-8")  # JSON is YAML
    watched = process_tree.watch(command(path), environment_for(work / "cache") | variables, TIMEOUT_SECONDS)
    if watched.code != 0:
        raise SystemExit(f"{config.engine}: {watched.err.strip()[-2000:]}")
    record: dict[str, Any] = json.loads(watched.out)
    return record, watched.seconds, watched.peak_mb


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Return the names in an order drawn from a seed."""
    return Random(seed).sample(names, len(names))


def shares(rounds: Sequence[tuple[float, float]]) -> dict[str, float | int]:
    """Return the median share of (a part, the whole) over rounds, with its 95 % interval."""
    ratio = ratio_of(rounds)
    return {key: round(value, 4) for key, value in asdict(ratio).items()}


def keep(name: str, figure: Mapping[str, Any], config: Config) -> Path:
    """Write a figure with where and when it was made, as `benchmarks/results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    place = asdict(bench_environment.look(config)) | {"load_at_end": round(os.getloadavg()[0], 2)}
    document = {"figure": name, "made": datetime.now(UTC).isoformat(timespec="seconds"), "environment": place, **figure}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


median = middle.median
