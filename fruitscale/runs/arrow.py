"""Converts between Arrow arrays and Python or NumPy values, without importing pandas.

`pyarrow.array` and `Array.to_numpy` import pandas if it is installed, which costs every process 0.4 s and 40 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """Return an array of strings, None where missing. Raises ValueError for more than 2 GiB or invalid Unicode."""
    import pyarrow as pa

    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)])
    if ends[-1] > np.iinfo(np.int32).max:
        raise ValueError("more than 2 GiB of text in one column")
    known = np.array([value is not None for value in values], bool)
    validity = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    buffers = [validity, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    return pa.StringArray.from_buffers(len(encoded), *buffers[1:], buffers[0])


def numbers(values: NDArray[Any]) -> pa.Array:
    """Return a 1-D array (n,) as Arrow, of the same type and without nulls; memory is shared, not copied."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def vectors(values: NDArray[Any]) -> pa.FixedSizeListArray:
    """Return rows (n, width) as fixed-size lists."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(numbers(values.reshape(-1)), values.shape[1])


def rows(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return a column of fixed-size lists as a read-only array (n, width). Raises pyarrow's errors."""
    lists = column.combine_chunks()
    width = lists.type.list_size
    flat = lists.values.slice(lists.offset * width, len(lists) * width)  # `flatten` would import pyarrow.compute
    return cast("NDArray[np.float32]", np.from_dlpack(flat)).reshape(len(lists), width)
