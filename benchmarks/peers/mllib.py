"""Spark MLlib's PCA, on features in Parquet.

https://spark.apache.org/docs/latest/ml-features.html#pca
"""

from __future__ import annotations

import time

from pyspark.ml.feature import PCA
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession
from pyspark.sql.functions import col

from benchmarks.peers.peer import parse_task, report_ratios


def main() -> None:
    task = parse_task()
    spark = (
        SparkSession.builder.appName("mllib")
        .master(f"local[{task.slots}]")
        .config("spark.driver.memory", "4g")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    start = time.perf_counter()
    features = spark.read.parquet(str(task.input))
    vectors = features.select(array_to_vector(col("features").cast("array<double>")).alias("vector"))
    if task.variant == "cached":
        vectors = vectors.cache()
    fitted = PCA(k=task.components, inputCol="vector", outputCol="components").fit(vectors)
    ratios = list(fitted.explainedVariance)
    seconds = time.perf_counter() - start
    rows = features.count()
    spark.stop()
    report_ratios(task, seconds, rows, ratios)


if __name__ == "__main__":
    main()
