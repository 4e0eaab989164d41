"""Reads Parquet that is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def decode(content: bytes) -> pq.ParquetFile:
    """Open Parquet in memory, for reads with `use_threads=False`. Raises pyarrow's own errors.

    All of it on the caller's thread: a worker has one core, handing pieces to others takes as long as the work, and one
    of Arrow's threads that reads a Python file while Python ends aborts the process (apache/arrow#34314, #45017).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
