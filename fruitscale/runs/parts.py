"""Parts: the Parquet files of a run, each with a checksum of its content in its footer.

A part's bytes depend on its rows alone, never on the run, the time or the engine.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import OutputError
from fruitscale.runs import arrow
from fruitscale.runs.damage import damage_hint
from fruitscale.storage.parquet import decode
from fruitscale.storage.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

PART = re.compile(r"part-\d{5,}\.parquet")
CHECKSUM, REJECTS = b"fruitscale.sha256", b"fruitscale.rejects"


class DamagedPartError(OutputError):
    """A part does not match its checksum, or is not a Parquet file."""


@dataclass(frozen=True)
class Part:
    """One vector per photo: `values` is float32 (rows, width); `rejects` counts the shard's rejects."""

    paths: list[str]
    labels: list[str | None]
    values: NDArray[np.float32]
    rejects: int = 0


class Reject(NamedTuple):
    """A photo that could not be used, with the reason."""

    path: str
    label: str | None
    reason: str
    detail: str


def name(folder: str, index: int) -> str:
    """Return the name of a part: `features/part-00042.parquet`."""
    return f"{folder}/part-{index:05d}.parquet"


def is_part(part_name: str) -> bool:
    """Return whether a name is that of a part."""
    return PART.fullmatch(part_name.rsplit("/", 1)[-1]) is not None


def names(store: Store, folder: str) -> list[str]:
    """Return the names of the parts in a folder of a complete run, in the order of their shards."""
    count = sum(map(is_part, store.names(f"{folder}/")))
    return [name(folder, index) for index in range(count)]


def write_vectors(store: Store, part_name: str, column: str, part: Part) -> None:
    """Write a part with its vectors in `column`, a fixed-size list of float32. Raises StorageError."""
    metadata = {CHECKSUM: _checksum(part), REJECTS: str(part.rejects).encode()}
    store.write(part_name, encode(as_table(part, column).replace_schema_metadata(metadata)))


def as_table(part: Part, column: str) -> pa.Table:
    """Return a part as a table: `path`, `label`, and the vectors in `column` (fixed-size list of float32)."""
    import pyarrow as pa

    vectors = arrow.vectors(part.values)
    fields = [pa.field("path", pa.string(), nullable=False), ("label", pa.string())]
    fields += [pa.field(column, vectors.type, nullable=False)]
    assert len(part.paths) == len(part.labels) == len(vectors)
    return pa.table([arrow.texts(part.paths), arrow.texts(part.labels), vectors], schema=pa.schema(fields))


def read_vectors(store: Store, part_name: str, column: str) -> Part:
    """Read a part and check its checksum. Raises MissingObjectError, StorageError or DamagedPartError."""
    import pyarrow as pa

    content = store.read(part_name)
    try:
        table = decode(content).read(columns=["path", "label", column], use_threads=False)
        values = arrow.rows(table[column])
        metadata = table.schema.metadata or {}
        part = Part(table["path"].to_pylist(), table["label"].to_pylist(), values, int(metadata.get(REJECTS, b"0")))
        intact = metadata.get(CHECKSUM) == _checksum(part)
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, OSError):
        intact = False
    if not intact:
        raise DamagedPartError(
            f"{store.uri}/{part_name} is damaged.", "Run the same command again: it rewrites the part."
        )
    return part


def write_rejects(store: Store, part_name: str, rejects: Sequence[Reject]) -> None:
    """Write a table of rejects, which may be empty. Raises StorageError."""
    import pyarrow as pa

    columns = [[getattr(reject, field) for reject in rejects] for field in Reject._fields]
    metadata = {CHECKSUM: _rejects_checksum(rejects)}
    schema = pa.schema([(field, pa.string()) for field in Reject._fields], metadata)
    store.write(part_name, encode(pa.table([arrow.texts(c) for c in columns], schema=schema)))


def read_rejects(store: Store, part_name: str) -> list[Reject]:
    """Read a table of rejects. Raises MissingObjectError, StorageError or DamagedPartError."""
    import pyarrow as pa

    content = store.read(part_name)
    try:
        table = decode(content).read(use_threads=False)
        rejects = [Reject(*row) for row in zip(*(table[field].to_pylist() for field in Reject._fields), strict=True)]
        intact = (table.schema.metadata or {}).get(CHECKSUM) == _rejects_checksum(rejects)
    except (pa.ArrowException, KeyError, ValueError, TypeError, OSError):
        intact = False
    if not intact:
        raise DamagedPartError(f"{store.uri}/{part_name} is damaged.", damage_hint(store.uri))
    return rejects


def encode(table: pa.Table) -> bytes:
    """Encode a table as Parquet; the same rows give the same bytes."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(
        table, sink, compression="zstd", compression_level=1, use_dictionary=["label"], write_statistics=["path"]
    )
    return sink.getvalue()


def _rejects_checksum(rejects: Sequence[Reject]) -> bytes:
    return hashlib.sha256(json.dumps(rejects).encode()).hexdigest().encode()


def _checksum(part: Part) -> bytes:
    digest = hashlib.sha256(f"{part.values.shape}{part.rejects}".encode())
    for path, label in zip(part.paths, part.labels, strict=True):
        digest.update(f"{path}\0{'-' if label is None else '=' + label}\n".encode())
    digest.update(np.ascontiguousarray(part.values, dtype="<f4").data)
    return digest.hexdigest().encode()
