"""Spark's own `predict_batch_udf`, as in its reference: each Python worker loads the network once and keeps it.

https://spark.apache.org/docs/latest/api/python/reference/api/pyspark.ml.functions.predict_batch_udf.html
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType

from benchmarks.peers.networks import BATCH, SIZE, load
from benchmarks.peers.peer import parse_task, report_features


def main() -> None:
    task = parse_task()
    folder = task.model

    def make_predict_fn() -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        network = load("keras", folder)

        def predict(contents: NDArray[Any]) -> NDArray[np.float32]:
            return network(np.stack([preprocess(content) for content in contents]))

        return predict

    featurize = predict_batch_udf(make_predict_fn, return_type=ArrayType(FloatType()), batch_size=BATCH)
    spark = (
        SparkSession.builder.appName("predict_batch_udf")
        .master(f"local[{task.slots}]")
        .config("spark.driver.memory", "4g")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    images = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(str(task.input))
    features = images.select("path", featurize("content").alias("features"))
    start = time.perf_counter()
    features.write.mode("overwrite").parquet(str(task.output / "features"))
    seconds = time.perf_counter() - start
    rows = spark.read.parquet(str(task.output / "features")).count()
    spark.stop()
    report_features(task, seconds, rows)


def preprocess(content: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image)


if __name__ == "__main__":
    main()
