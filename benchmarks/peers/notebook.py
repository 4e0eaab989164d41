"""The notebook recipe, as students of OpenClassrooms hand it in for the data science project "big data in the cloud".

Spark `binaryFile`, `repartition(20)`, an iterator `pandas_udf` with Pillow and Keras `predict`, the weights broadcast, the
network rebuilt in each task; Parquet; then MLlib's PCA on the written features.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pyspark.ml.feature import PCA
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, element_at, pandas_udf, split

from benchmarks.peers.networks import SIZE, import_keras
from benchmarks.peers.peer import PeerTask, parse_task, report_features

PARTITIONS = 20


def main() -> None:
    task = parse_task()
    spark = (
        SparkSession.builder.appName("notebook")
        .master(f"local[{task.slots}]")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.parquet.writeLegacyFormat", "true")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "1024")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    seconds_featurize = featurize(spark, task)
    seconds_pca, variance, images = reduce(spark, task)
    spark.stop()
    report_features(task, seconds_featurize, images, seconds_pca=seconds_pca, retained_variance=variance)


def featurize(spark: Any, task: PeerTask) -> float:
    """Write the features of all photos; return the seconds of the Spark job."""
    images = (
        spark.read.format("binaryFile")
        .option("pathGlobFilter", "*.jpg")
        .option("recursiveFileLookup", "true")
        .load(str(task.input))
    )
    images = images.withColumn("label", element_at(split(images["path"], "/"), -2))

    model = import_keras().models.load_model(task.model / "model.keras")
    architecture = model.to_json()
    weights = spark.sparkContext.broadcast(model.get_weights())

    def model_fn() -> Any:
        network = import_keras().models.model_from_json(architecture)
        network.set_weights(weights.value)
        return network

    def featurize_series(network: Any, content: pd.Series[Any]) -> pd.Series[Any]:
        pixels = np.stack([preprocess(photo) for photo in content])
        return pd.Series([features.flatten() for features in network.predict(pixels, verbose=0)])

    def featurize_photos(contents: Iterator[pd.Series]) -> Iterator[pd.Series]:
        network = model_fn()
        for content in contents:
            yield featurize_series(network, content)

    featurize_udf = pandas_udf(featurize_photos, "array<float>")
    features = images.repartition(PARTITIONS).select(
        col("path"), col("label"), featurize_udf("content").alias("features")
    )
    start = time.perf_counter()
    features.write.mode("overwrite").parquet(str(task.output / "features"))
    return time.perf_counter() - start


def preprocess(content: bytes) -> NDArray[np.uint8]:
    """Decode a photo as the recipe does, but bilinear like all other contestants (the recipe's default is bicubic)."""
    image = Image.open(io.BytesIO(content)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image)  # the scaling is part of the network


def reduce(spark: Any, task: PeerTask) -> tuple[float, float, int]:
    """Fit MLlib's PCA and write its scores; return the seconds, the retained variance (0 to 1) and the rows."""
    start = time.perf_counter()
    features = spark.read.parquet(str(task.output / "features"))
    vectors = features.withColumn("vector", array_to_vector("features"))
    fitted = PCA(k=task.components, inputCol="vector", outputCol="components").fit(vectors)
    reduced = fitted.transform(vectors).select("path", "label", "components")
    reduced.write.mode("overwrite").parquet(str(task.output / "reduced"))
    seconds = time.perf_counter() - start
    return seconds, float(sum(fitted.explainedVariance)), features.count()


if __name__ == "__main__":
    main()
