"""The interface of every peer: a few arguments in, one line of JSON out. Uses only the standard library."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PeerTask:
    """A peer's task.

    `input` is a folder of photos (one subfolder per label) or of features in Parquet; `output` is a folder to write to;
    `model` a folder with model.keras, model.xml and model.bin; `variant` selects one of a module's methods.
    """

    input: Path
    output: Path
    model: Path
    slots: int
    components: int
    variant: str


def parse_task() -> PeerTask:
    """Parse the task from the command line and create its output folder."""
    parser = argparse.ArgumentParser()
    for name in ("input", "output", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--components", type=int, required=True)
    parser.add_argument("--variant", default="")
    task = PeerTask(**vars(parser.parse_args()))
    task.output.mkdir(parents=True, exist_ok=True)
    return task


def report_features(task: PeerTask, seconds_featurize: float, images: int, **more: float) -> None:
    """Report features, written to `features` in the output folder as Parquet with columns `path` and `features`."""
    _print({"seconds_featurize": seconds_featurize, "images": images, "answer": str(task.output / "features"), **more})


def report_ratios(task: PeerTask, seconds_fit: float, rows: int, ratios: list[float]) -> None:
    """Write the explained variance ratios to ratios.json and report them."""
    answer = task.output / "ratios.json"
    answer.write_text(json.dumps([float(ratio) for ratio in ratios]), encoding="utf-8")
    _print({"seconds_fit": seconds_fit, "rows": rows, "answer": str(answer)})


def _print(figures: dict[str, object]) -> None:
    sys.stdout.write(f"\n{json.dumps(figures)}\n")
    sys.stdout.flush()
