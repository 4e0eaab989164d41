"""Whether an answer is the right one: features near those of fruitscale's reference, ratios near an exact PCA's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.peers import matrix

TYPICAL_TOLERANCE, WORST_TOLERANCE = 0.05, 0.15
"""Of the distance of a photo's features, as a fraction of their length: of the median photo's, and of every photo's.

Resizers round a sixth of the pixels to the grey level next to ours, which moves features by 2 to 6 %; a bicubic filter
moves them by 10 %, another photo of the same fruit by 20 to 90 %, swapped colours by 30 to 100 %.
"""
RATIO_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Features:
    """Photos by their paths below the input folder, sorted, and the features of each."""

    paths: tuple[str, ...]
    values: NDArray[np.float32]


def read_features(folder: Path, photos: Path) -> Features:
    """Read an answer's Parquet files, whatever list type they have, and however they write paths."""
    tables = [pq.read_table(part, columns=["path", "features"]) for part in sorted(folder.rglob("*.parquet"))]
    filled = [table for table in tables if table.num_rows]
    if not filled:
        return Features((), np.empty((0, 0), np.float32))
    paths = [_relative(path, photos) for table in filled for path in table["path"].to_pylist()]
    values = np.concatenate([matrix.flat(table["features"]) for table in filled])
    order = sorted(range(len(paths)), key=paths.__getitem__)
    return Features(tuple(paths[i] for i in order), values[order])


def _relative(path: str, photos: Path) -> str:
    """Return a path below the folder of photos. Spark and Daft write URIs, Spark with escapes."""
    if path.startswith("file:"):
        path = unquote(path.removeprefix("file://").removeprefix("file:"))
    return path.removeprefix(f"{photos}/")


@dataclass(frozen=True)
class Off:
    """How far an answer is from the right one: what is largest, and the median."""

    worst: float
    typical: float


def features_off(answer: Features, expected: Features) -> Off:
    """Return the relative distance of photos' features. Raises ValueError where photos are not the same."""
    if answer.paths != expected.paths:
        missing = len(set(expected.paths) - set(answer.paths))
        raise ValueError(f"{len(answer.paths):,} photos, {missing:,} of {len(expected.paths):,} are missing")
    if answer.values.shape != expected.values.shape:
        raise ValueError(f"features of shape {answer.values.shape}, not {expected.values.shape}")
    distances = np.linalg.norm(answer.values - expected.values, axis=1)
    distances /= np.linalg.norm(expected.values, axis=1)
    return Off(float(distances.max()), float(np.median(distances)))


def exact_ratios(features: NDArray[np.floating], components: int) -> list[float]:
    """Return the variance ratios of a matrix, from NumPy's covariance in float64: the reference, and none of ours."""
    values = np.linalg.eigvalsh(np.cov(features, rowvar=False, dtype=np.float64))[::-1]
    ratios: list[float] = (values / values.sum())[:components].tolist()
    return ratios


def ratios_off(answer: Path, expected: Sequence[float]) -> Off:
    """Return the difference of variance ratios. Raises ValueError where there are not as many."""
    ratios = json.loads(answer.read_text(encoding="utf-8"))
    if len(ratios) != len(expected):
        raise ValueError(f"{len(ratios)} components, not {len(expected)}")
    differences = np.abs(np.subtract(ratios, expected))
    return Off(float(differences.max()), float(np.median(differences)))
