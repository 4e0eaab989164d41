"""Arrow arrays without pandas: the same ones that pyarrow's own conversions give."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fruitscale.runs import arrow


@settings(deadline=None)  # the first one imports pandas
@given(st.lists(st.none() | st.text(), max_size=40))
def test_texts_are_those_of_pyarrow(values: list[str | None]) -> None:
    made = arrow.texts(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string()))
    assert made.null_count == values.count(None)


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        arrow.texts(["a\udcff"])


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_numbers_are_those_of_pyarrow(dtype: type) -> None:
    values: np.ndarray[Any, Any] = np.arange(10, dtype=dtype)
    assert arrow.numbers(values).equals(pa.array(values))
    assert arrow.numbers(values[::2]).equals(pa.array(values[::2]))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_vectors_come_back_as_rows(n: int) -> None:
    values = np.arange(n * 3, dtype=np.float32).reshape(n, 3)
    column = pa.chunked_array([arrow.vectors(values)])
    assert column.type == pa.list_(pa.float32(), 3)
    assert np.array_equal(arrow.rows(column), values)
    assert arrow.rows(column).shape == (n, 3)


def test_rows_of_a_slice_and_of_several_chunks() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    column = pa.chunked_array([arrow.vectors(values), arrow.vectors(values)])
    assert np.array_equal(arrow.rows(column.slice(1, 5)), np.concatenate([values, values])[1:6])
    assert np.array_equal(arrow.rows(column.slice(1, 2)), values[1:3])


def test_a_part_is_written_and_read_without_pandas() -> None:
    pytest.importorskip("pandas")
    code = """
import sys, tempfile
from pathlib import Path
import numpy as np
from fruitscale.runs import manifest, parts
from fruitscale.storage.listing import Photo
from fruitscale.storage.store import LocalStore
store = LocalStore(Path(tempfile.mkdtemp()))
listed = manifest.build([Photo("a/1.jpg", "a", 5, "v"), Photo("b.jpg", None, 6, "w")])
manifest.write(listed, store)
assert manifest.read_rows(store, manifest.NAME, 0, 2, listed.sha256)[1].path == "b.jpg"
parts.write_vectors(store, "p", "features", parts.Part(["a/1.jpg"], ["a"], np.ones((1, 4), np.float32)))
assert parts.read_vectors(store, "p", "features").values.sum() == 4
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
