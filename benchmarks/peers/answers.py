"""Check results: features against fruitscale's reference run, variance ratios against an exact PCA."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.peers import pca_input

TYPICAL_TOLERANCE, WORST_TOLERANCE = 0.05, 0.15
"""Maximum relative distance of a photo's features: for the median photo, and for the worst one.

Other resizers round a sixth of the pixels to the neighbouring grey level, which moves features by 2 to 6 %. A bicubic
filter moves them by 10 %, another photo of the same fruit by 20 to 90 %, swapped colours by 30 to 100 %.
"""
RATIO_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Features:
    """Sorted photo paths, relative to the input folder, and their features, shape (photos, features)."""

    paths: tuple[str, ...]
    values: NDArray[np.float32]


def read_features(folder: Path, photos: Path) -> Features:
    """Read a result's Parquet files, with any list type and any style of path."""
    tables = [pq.read_table(part, columns=["path", "features"]) for part in sorted(folder.rglob("*.parquet"))]
    non_empty = [table for table in tables if table.num_rows]
    if not non_empty:
        return Features((), np.empty((0, 0), np.float32))
    paths = [_relative(path, photos) for table in non_empty for path in table["path"].to_pylist()]
    values = np.concatenate([pca_input.flat(table["features"]) for table in non_empty])
    order = sorted(range(len(paths)), key=paths.__getitem__)
    return Features(tuple(paths[i] for i in order), values[order])


def _relative(path: str, photos: Path) -> str:
    """Return a path relative to the photo folder. Spark and Daft write URIs, Spark with escapes."""
    if path.startswith("file:"):
        path = unquote(path.removeprefix("file://").removeprefix("file:"))
    return path.removeprefix(f"{photos}/")


@dataclass(frozen=True)
class Deviation:
    """How far a result is from the expected one: the largest and the median difference."""

    worst: float
    typical: float


def features_deviation(answer: Features, expected: Features) -> Deviation:
    """Return the relative distance of the features. Raises ValueError if the photos or shapes differ."""
    if answer.paths != expected.paths:
        missing = len(set(expected.paths) - set(answer.paths))
        raise ValueError(f"{len(answer.paths):,} photos, {missing:,} of {len(expected.paths):,} are missing")
    if answer.values.shape != expected.values.shape:
        raise ValueError(f"features of shape {answer.values.shape}, expected {expected.values.shape}")
    distances = np.linalg.norm(answer.values - expected.values, axis=1)
    distances /= np.linalg.norm(expected.values, axis=1)
    return Deviation(float(distances.max()), float(np.median(distances)))


def exact_ratios(features: NDArray[np.floating], components: int) -> list[float]:
    """Return the reference variance ratios: NumPy's own covariance and eigenvalues in float64."""
    values = np.linalg.eigvalsh(np.cov(features, rowvar=False, dtype=np.float64))[::-1]
    ratios: list[float] = (values / values.sum())[:components].tolist()
    return ratios


def ratios_deviation(answer: Path, expected: Sequence[float]) -> Deviation:
    """Return the difference of variance ratios. Raises ValueError if their numbers differ."""
    ratios = json.loads(answer.read_text(encoding="utf-8"))
    if len(ratios) != len(expected):
        raise ValueError(f"{len(ratios)} components, expected {len(expected)}")
    differences = np.abs(np.subtract(ratios, expected))
    return Deviation(float(differences.max()), float(np.median(differences)))
