"""The synthetic input of the pca job: a feature matrix, and reading it back from Parquet parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def draw(rows: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Return synthetic features (rows, width) whose variance decays as in photos; float32, so exact in float64."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((rows, width), np.float32) * (1 + np.arange(width, dtype=np.float32)) ** -0.8
    mixing = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
    features: NDArray[np.float32] = np.maximum(
        hidden @ mixing + rng.random(width, np.float32), 0
    )  # as after a final ReLU
    return features


def parts(folder: Path) -> list[Path]:
    """Return the parts in order."""
    return sorted(folder.glob("*.parquet"))


def rows(files: list[Path]) -> int:
    """Return the total number of rows."""
    return sum(int(pq.read_metadata(file).num_rows) for file in files)


def width(part: Path) -> int:
    """Return the number of features per row."""
    metadata = pq.read_metadata(part)
    values: int = metadata.row_group(0).column(metadata.num_columns - 1).num_values
    return values // int(metadata.row_group(0).num_rows)


def read(part: Path) -> Floats:
    """Read the features of a part as float64."""
    return flat(pq.read_table(part, columns=["features"])["features"]).astype(np.float64)


def read_all(folder: Path) -> Iterator[Floats]:
    """Yield the features of one part after another."""
    return map(read, parts(folder))


def flat(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return a column of equally long lists, of any list type, as an array (rows, width)."""
    chunks = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in column.chunks]
    arrays = [np.asarray(chunk.flatten(), np.float32).reshape(len(chunk), -1) for chunk in chunks if len(chunk)]
    matrix: NDArray[np.float32] = np.concatenate(arrays)
    return matrix
