"""Adds features and components as columns of a Dask DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fruitscale.config.loading import Given
from fruitscale.config.schema import Storage
from fruitscale.frames.kernel import ROWS, Featurizer, Projector, check_columns, featurizer, projector

if TYPE_CHECKING:
    import pandas as pd


def featurize(
    ddf: Any,  # noqa: ANN401  a dask.dataframe.DataFrame, which has no types here
    config: Given | None = None,
    *,
    run: str | None = None,
    path: str = "path",
    content: str = "content",
) -> Any:  # noqa: ANN401
    """Add the features of photos: bit for bit those of `fruitscale.run` with the same settings.

    Photos are in the column `content` (bytes, Arrow binary), or else are read from the column `path`, relative to
    `input.uri`. The result has all columns but the content, `features` (Arrow list of float) and `reject`, the reason if a
    photo has no features. `config` is as for `fruitscale.run`; `run` takes model and input from that run. Lazy; the model is
    in the graph once (Dask warns that it is large), and each worker loads it once. Raises UsageError for missing or
    conflicting columns, ModelError if the model is unavailable.
    """
    from dask.dataframe.utils import make_meta

    source = check_columns(list(ddf.columns), (content, path), ("features", "reject"))
    kernel = featurizer(config, run)
    meta = _features(make_meta(ddf), kernel, source, content)
    return ddf.map_partitions(_features, _once(kernel, kernel.sha256), source, content, meta=meta)


def reduce(ddf: Any, run: str, *, features: str = "features", storage: Storage | None = None) -> Any:  # noqa: ANN401
    """Add `components` (Arrow list of float): a run's PCA applied to a column of features.

    The features must be those of the run's model. Lazy; a row without features has no components. Raises UsageError for
    missing or conflicting columns, InputError or OutputError if there is no such run.
    """
    from hashlib import sha256

    from dask.dataframe.utils import make_meta

    check_columns(list(ddf.columns), (features,), ("components",))
    kernel = projector(run, storage)
    meta = _components(make_meta(ddf), kernel, features)
    return ddf.map_partitions(_components, _once(kernel, sha256(kernel.content).hexdigest()), features, meta=meta)


def _once(kernel: Featurizer | Projector, name: str) -> Any:  # noqa: ANN401
    """Put a kernel into the graph as one task that all partitions share."""
    from dask import delayed

    return delayed(kernel, name=f"fruitscale-{type(kernel).__name__.lower()}-{name[:24]}", traverse=False)


def _features(frame: pd.DataFrame, kernel: Featurizer, source: str, content: str) -> pd.DataFrame:
    import pyarrow as pa

    chunks = []
    for start in range(0, len(frame), ROWS):
        column = frame[source].iloc[start : start + ROWS]
        rows = [None if isnull else row for row, isnull in zip(column.tolist(), column.isna(), strict=True)]
        chunks.append(kernel.features_of(*((None, rows) if source == content else (rows, None))))
    types = {"features": pa.list_(pa.float32()), "reject": pa.string()}
    made = pa.chunked_array(chunks, pa.struct(list(types.items())))
    columns = dict(zip(types, made.flatten(), strict=True))
    return _with_columns(frame.drop(columns=content, errors="ignore"), columns)


def _components(frame: pd.DataFrame, kernel: Projector, features: str) -> pd.DataFrame:
    import pyarrow as pa

    column = pa.array(frame[features], pa.list_(pa.float32()))
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return _with_columns(frame, {"components": pa.chunked_array([kernel.components_of(column)])})


def _with_columns(frame: pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    arrow = {
        name: pd.Series(pd.arrays.ArrowExtensionArray(column), index=frame.index, name=name)
        for name, column in columns.items()
    }
    return frame.assign(**arrow)
