"""Shared by all figures: arguments, timed runs of the real command, paired ratios, and the JSON of the result."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from fruitscale.bench import bench_environment, process_tree
from fruitscale.bench.bench_statistics import ratio_of
from fruitscale.bench.measure import command, environment_for
from fruitscale.bench.photo_sets import link_photos, list_paths
from fruitscale.config.loading import load
from fruitscale.config.schema import Config, Input
from tests.conftest import ROOT

QUICKSTART = ROOT / "configs" / "quickstart.yaml"
RESULTS = ROOT / "benchmarks" / "results"
TIMEOUT_SECONDS = 7200


def arguments(description: str | None, images: int, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the arguments common to all figures."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--input", required=True, help="a folder of photos, one subfolder per label")
    parser.add_argument("--images", type=int, default=images, help="number of photos, repeated if there are fewer")
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def settings(**changed: object) -> Config:
    """Return the quickstart configuration (pretrained weights, no download) on 2 slots, with changes."""
    sets = {"slots": 2, "report": "false", **changed}
    return load(str(QUICKSTART), sets=[f"{key.replace('__', '.')}={value}" for key, value in sets.items()]).config


@contextmanager
def working_folder() -> Iterator[Path]:
    """Yield a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="fruitscale-figures-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def photos(source: str, images: int, folder: Path) -> Path:
    """Link `images` photos into a folder and return it."""
    return link_photos(source, list_paths(Input(uri=source)), images, folder).folder


def run(config: Config, source: str, output: str, work: Path, **variables: str) -> tuple[dict[str, Any], float, float]:
    """Run the command in a fresh process; return its record, its seconds and its peak MB over all processes."""
    update = {
        "input": config.input.model_copy(update={"uri": source}),
        "output": config.output.model_copy(update={"uri": output}),
    }
    path = work / "config.yaml"
    path.write_text(config.model_copy(update=update).model_dump_json(), encoding="utf-8")  # JSON is YAML
    result = process_tree.run(command(path), environment_for(work / "cache") | variables, TIMEOUT_SECONDS)
    if result.code != 0:
        raise SystemExit(f"{config.engine}: {result.err.strip()[-2000:]}")
    record: dict[str, Any] = json.loads(result.out)
    return record, result.seconds, result.peak_mb


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Return the names in a random order that depends only on the seed."""
    return Random(seed).sample(names, len(names))


def shares(rounds: Sequence[tuple[float, float]]) -> dict[str, float | int]:
    """Return the median ratio of the pairs (part, whole), with its 95 % interval."""
    ratio = ratio_of(rounds)
    return {key: round(value, 4) for key, value in asdict(ratio).items()}


def write_figure(name: str, figure: Mapping[str, Any], config: Config) -> Path:
    """Write a figure with its date and environment to `benchmarks/results/NAME.json`; return the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    environment = asdict(bench_environment.read_environment(config)) | {"load_at_end": round(os.getloadavg()[0], 2)}
    document = {
        "figure": name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment,
        **figure,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


median = statistics.median
