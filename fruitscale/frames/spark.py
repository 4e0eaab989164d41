"""Adds features and components as columns of a Spark DataFrame, also with Spark Connect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from fruitscale.config.loading import Given
from fruitscale.config.schema import Storage
from fruitscale.frames.kernel import ROWS, check_columns, featurizer, projector

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

    Batches: TypeAlias = Iterator[pa.RecordBatch]


def featurize(
    df: DataFrame, config: Given | None = None, *, run: str | None = None, path: str = "path", content: str = "content"
) -> DataFrame:
    """Add the features of photos: bit for bit those of `fruitscale.run` with the same settings.

    The photos are in the binary column `content`, or else are read by the text column `path`, relative to `input.uri`.
    The result has all columns but the content, `features` (array of float) and `reject`, the reason if a photo has none.
    `config` is as for `fruitscale.run`; with `run` the model and the input are those of that run. Lazy, like any
    transformation; the model, of up to 100 MB, is in the closure, and each Python worker loads it once.
    Raises UsageError for missing or conflicting columns, ModelError if the model is unavailable.
    """
    from pyspark.sql.types import ArrayType, FloatType, StringType, StructField

    source = check_columns(df.columns, (content, path), ("features", "reject"))
    kernel = featurizer(config, run)

    def work(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch[source].to_pylist()
        made = kernel.features_of(*((None, rows) if source == content else (rows, None)))
        return _with_columns(batch, content, dict(zip(("features", "reject"), made.flatten(), strict=True)))

    added = [StructField("features", ArrayType(FloatType())), StructField("reject", StringType())]
    return df.mapInArrow(_over(work), _schema(df, content, added))


def reduce(df: DataFrame, run: str, *, features: str = "features", storage: Storage | None = None) -> DataFrame:
    """Add `components` (array of float): a run's PCA applied to a column of features.

    The features must be those of the run's model. Lazy; a row without features has no components.
    Raises UsageError for missing or conflicting columns, InputError or OutputError if there is no such run.
    """
    from pyspark.sql.types import ArrayType, FloatType, StructField

    check_columns(df.columns, (features,), ("components",))
    kernel = projector(run, storage)

    def work(batch: pa.RecordBatch) -> pa.RecordBatch:
        return _with_columns(batch, "", {"components": kernel.components_of(batch[features])})

    return df.mapInArrow(_over(work), _schema(df, "", [StructField("components", ArrayType(FloatType()))]))


def _over(work: Callable[[pa.RecordBatch], pa.RecordBatch]) -> Callable[[Batches], Batches]:
    """Process a few rows at a time, whatever the size of Spark's batches."""

    def every(batches: Batches) -> Batches:
        for batch in batches:
            for start in range(0, batch.num_rows, ROWS):
                yield work(batch.slice(start, ROWS))

    return every


def _with_columns(batch: pa.RecordBatch, dropped: str, added: dict[str, pa.Array]) -> pa.RecordBatch:
    import pyarrow as pa

    kept = {name: batch[name] for name in batch.schema.names if name != dropped}
    return pa.RecordBatch.from_pydict({**kept, **added})


def _schema(df: DataFrame, dropped: str, added: list[object]) -> StructType:
    from pyspark.sql.types import StructType

    return StructType([*(one for one in df.schema.fields if one.name != dropped), *added])
