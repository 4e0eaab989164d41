"""Opens Parquet files that are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def decode(content: bytes) -> pq.ParquetFile:
    """Open Parquet in memory, for reads with `use_threads=False`. Raises pyarrow's own errors.

    Everything runs on the caller's thread: a worker has one core, handing over pieces costs as much as the work, and an
    Arrow thread that reads a Python file while Python exits aborts the process (apache/arrow#34314, #45017).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
