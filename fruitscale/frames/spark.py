"""Adds features and components as columns of a Spark DataFrame, also with Spark Connect."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from fruitscale.config.loading import Given
from fruitscale.config.schema import Storage
from fruitscale.engines import java, spark_settings
from fruitscale.errors import EngineError
from fruitscale.frames.kernel import ROWS, check_columns, featurizer, projector
from fruitscale.processes import child_environment

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    Batches: TypeAlias = Iterator[pa.RecordBatch]


def session(master: str = "local[*]", conf: Mapping[str, str] | None = None) -> SparkSession:
    """Return the active Spark session, or start one with a compatible Java and with this Python in its workers.

    `master` and `conf` are for a new session. Raises EngineError if the workers of the session can't import fruitscale, or
    if there is no Java for this Spark.
    """
    import pyspark
    from pyspark.sql import SparkSession

    found = SparkSession.getActiveSession()
    if found is None:
        settings = {**spark_settings.defaults(master, pyspark.__version__), **(conf or {})}
        ours = spark_settings.java_variables(java.find_java(pyspark.__version__).home, master, os.environ)
        variables = child_environment({"PYSPARK_PYTHON": sys.executable} | ours)
        builder = SparkSession.builder.appName("fruitscale").master(master)
        for key, value in settings.items():
            builder = builder.config(key, value)
        with spark_settings.environment(variables):
            found = builder.getOrCreate()
    _check_workers(found)
    return found


def _check_workers(found: SparkSession) -> None:
    """Raise EngineError if a worker of a session can't import fruitscale."""

    def work(batches: Batches) -> Batches:
        import fruitscale.frames.kernel as _kernel

        assert _kernel
        yield from batches

    try:
        found.range(1).mapInArrow(work, "id long").collect()
    except Exception as error:  # of Spark or py4j
        why = spark_settings.python_failure(str(error)) or str(error).strip().splitlines()[0]
        raise EngineError(
            f"The workers of this Spark session can't use fruitscale: {why}",
            "Install fruitscale in their Python, or stop the session and let fruitscale.frames.spark.session() start one.",
        ) from error


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
