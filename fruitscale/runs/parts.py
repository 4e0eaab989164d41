"""Parts: the Parquet files of a run, each with a checksum of its content in its footer.

A part's bytes depend on its rows alone, never on the run, the time or the engine.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
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
CHECKSUM, REJECTS, WARNINGS = b"fruitscale.sha256", b"fruitscale.rejects", b"fruitscale.warnings"


class DamagedPartError(OutputError):
    """A part does not match its checksum, or is not a Parquet file."""


@dataclass(frozen=True)
class Part:
    """One vector per photo: `values` is float32 (rows, width); `rejects` counts the shard's rejects.

    `warnings` has the fault of each photo that was read with a warning, by row.
    """

    paths: list[str]
    labels: list[str | None]
    values: NDArray[np.float32]
    rejects: int = 0
    warnings: dict[int, str] = field(default_factory=dict)


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


def write_vectors(store: Store, part_name: str, column: str, part: Part) -> str:
    """Write a part with its vectors in `column`, a fixed-size list of float32; return the file's sha256.

    Raises StorageError.
    """
    metadata = {CHECKSUM: _checksum(part), REJECTS: str(part.rejects).encode()}
    if part.warnings:
        metadata[WARNINGS] = json.dumps(part.warnings).encode()
    content = encode(as_table(part, column).replace_schema_metadata(metadata))
    store.write(part_name, content)
    return sha256(content)


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
    return decode_vectors(store.read(part_name), f"{store.uri}/{part_name}", column)


def decode_vectors(content: bytes, uri: str, column: str) -> Part:
    """Decode a part and check its checksum. Raises DamagedPartError."""
    import pyarrow as pa

    try:
        table = decode(content).read(columns=["path", "label", column], use_threads=False)
        values = arrow.rows(table[column])
        metadata = table.schema.metadata or {}
        warned = {int(row): fault for row, fault in json.loads(metadata.get(WARNINGS, b"{}")).items()}
        n_rejects = int(metadata.get(REJECTS, b"0"))
        part = Part(table["path"].to_pylist(), table["label"].to_pylist(), values, n_rejects, warned)
        intact = metadata.get(CHECKSUM) == _checksum(part)
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, OSError):
        intact = False
    if not intact:
        raise DamagedPartError(f"{uri} is damaged.", "Run the same command again: it rewrites the part.")
    return part


def write_rejects(store: Store, part_name: str, rejects: Sequence[Reject]) -> str:
    """Write a table of rejects, which may be empty; return the file's sha256. Raises StorageError."""
    content = encode_rejects(rejects)
    store.write(part_name, content)
    return sha256(content)


def encode_rejects(rejects: Sequence[Reject]) -> bytes:
    """Encode a table of rejects as Parquet."""
    import pyarrow as pa

    columns = [[getattr(reject, field) for reject in rejects] for field in Reject._fields]
    metadata = {CHECKSUM: _rejects_checksum(rejects)}
    schema = pa.schema([(field, pa.string()) for field in Reject._fields], metadata)
    return encode(pa.table([arrow.texts(c) for c in columns], schema=schema))


def read_rejects(store: Store, part_name: str) -> list[Reject]:
    """Read a table of rejects. Raises MissingObjectError, StorageError or DamagedPartError."""
    return decode_rejects(store.read(part_name), f"{store.uri}/{part_name}")


def decode_rejects(content: bytes, uri: str) -> list[Reject]:
    """Decode a table of rejects. Raises DamagedPartError."""
    import pyarrow as pa

    try:
        table = decode(content).read(use_threads=False)
        rejects = [Reject(*row) for row in zip(*(table[field].to_pylist() for field in Reject._fields), strict=True)]
        intact = (table.schema.metadata or {}).get(CHECKSUM) == _rejects_checksum(rejects)
    except (pa.ArrowException, KeyError, ValueError, TypeError, OSError):
        intact = False
    if not intact:
        raise DamagedPartError(f"{uri} is damaged.", damage_hint(uri))
    return rejects


def sha256(content: bytes) -> str:
    """Return the checksum of a file as it stands in run.json."""
    return hashlib.sha256(content).hexdigest()


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
    digest.update(json.dumps(part.warnings).encode() if part.warnings else b"")
    return digest.hexdigest().encode()
