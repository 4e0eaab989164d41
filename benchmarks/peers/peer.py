"""What every peer is told and tells: a few arguments in, one line of JSON out. Needs nothing but Python."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Told:
    """A peer's task.

    `input` is a folder of photos (one folder a label), or of features in Parquet; `output` is a folder to write to;
    `model` a folder with model.keras, model.xml and model.bin; `variant` says which of a file's ways is meant.
    """

    input: Path
    output: Path
    model: Path
    slots: int
    components: int
    variant: str


def told() -> Told:
    """Return the task on the command line."""
    parser = argparse.ArgumentParser()
    for name in ("input", "output", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--components", type=int, required=True)
    parser.add_argument("--variant", default="")
    task = Told(**vars(parser.parse_args()))
    task.output.mkdir(parents=True, exist_ok=True)
    return task


def tell_features(task: Told, seconds_featurize: float, images: int, **more: float) -> None:
    """Say that features were written to `features` in the output folder, in Parquet: `path` and `features`."""
    _tell({"seconds_featurize": seconds_featurize, "images": images, "answer": str(task.output / "features"), **more})


def tell_ratios(task: Told, seconds_fit: float, rows: int, ratios: list[float]) -> None:
    """Say which part of the variance each component has."""
    answer = task.output / "ratios.json"
    answer.write_text(json.dumps([float(ratio) for ratio in ratios]), encoding="utf-8")
    _tell({"seconds_fit": seconds_fit, "rows": rows, "answer": str(answer)})


def _tell(figures: dict[str, object]) -> None:
    sys.stdout.write(f"\n{json.dumps(figures)}\n")
    sys.stdout.flush()
