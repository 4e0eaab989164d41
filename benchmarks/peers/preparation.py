"""What is made before the first run: photos, the model's files, the matrix, and the right answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers import answers, matrix
from benchmarks.peers.answers import Features
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.ground import HERE, Ground, environment, run_command
from fruitscale.bench import photo_sets, process_tree
from fruitscale.bench.measure import last_words
from fruitscale.config.schema import Input, Storage
from fruitscale.engines.java import find_java
from fruitscale.errors import FruitscaleError, OutputError
from fruitscale.runs import parts, run_folder
from fruitscale.runs.record import RunRecord
from fruitscale.storage.store import open_store

WIDTH = 1280
PEER_PARTS = 20
"""Parts of the matrix that peers read: as many as the notebook recipe leaves. Ours are as many as a run of ours makes."""
LOCAL = Contestant("reference", "featurize", None, "local", ours=True)


@dataclass(frozen=True)
class Expected:
    """The right answers: features by fruitscale's local engine, what its PCA keeps, and NumPy's ratios of the matrix."""

    features: Features | None = None
    retained_variance: float = 0.0
    ratios: Sequence[float] = ()


def versions(python: Path) -> dict[str, str]:
    """Return the versions of what requirements.txt names first, as installed; none where there is no such Python."""
    if not python.is_file():
        return {}
    named, _, _ = (HERE / "requirements.txt").read_text(encoding="utf-8").partition("# What these bring along")
    wanted = [line.partition("==")[0].partition("[")[0] for line in named.splitlines() if "==" in line]
    listed = json.loads(
        _run([str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format=json"], {}, 60)
    )
    found = {package["name"]: str(package["version"]) for package in listed}
    return {name: found[name] for name in wanted if name in found}


def java_home(spark_version: str | None) -> str | None:
    """Find a Java as fruitscale's Spark engine does; None where there is none: Spark's own error then tells."""
    if spark_version is None:
        return None
    try:
        return str(find_java(spark_version).home)
    except FruitscaleError:
        return None


def photos_and_model(ground: Ground, input_uri: str, images: int) -> str | None:
    """Link photos, and write the model's files. Returns a note where photos are repeated."""
    found = photo_sets.link_photos(input_uri, photo_sets.list_paths(Input(uri=input_uri)), images, ground.photos)
    ground.model.mkdir()
    command = [sys.executable, "-m", "benchmarks.peers.model_files", str(ground.model), *ground.settings]
    _run(command, environment(ground, LOCAL), ground.timeout_seconds)
    return found.note


def reference_run(ground: Ground) -> Expected:
    """Run fruitscale's local engine, once."""
    output = ground.work / "reference"
    command = run_command(ground, LOCAL.variant, output)
    record = RunRecord.model_validate_json(_run(command, environment(ground, LOCAL), ground.timeout_seconds))
    features = answers.read_features(output / run_folder.FEATURES, ground.photos)
    return Expected(features, record.pca.retained_variance)


def matrix_and_ratios(ground: Ground, rows: int) -> Expected:
    """Write the matrix, in the parts of a run of ours, and in a few large ones for the peers; solve it with NumPy."""
    features = matrix.draw(rows, WIDTH)
    paths = [f"a/{row:06d}.jpg" for row in range(rows)]
    store = open_store(str(ground.parts(ours=True).parent), Storage())
    step = max(64, min(4096, rows // 1000))  # what shards.images: auto is
    for index, start in enumerate(range(0, rows, step)):
        some = slice(start, min(start + step, rows))
        part = parts.Part(paths[some], [None] * (some.stop - start), features[some])
        parts.write_vectors(store, parts.name(run_folder.FEATURES, index), "features", part)
    folder = ground.parts(ours=False)
    folder.mkdir(parents=True)
    for index in range(PEER_PARTS):
        some = slice(index * rows // PEER_PARTS, (index + 1) * rows // PEER_PARTS)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(features[some].reshape(-1)), WIDTH)
        pq.write_table(pa.table({"path": paths[some], "features": lists}), folder / f"part-{index:05d}.parquet")
    return Expected(ratios=answers.exact_ratios(features, ground.components["pca"]))


def _run(command: list[str], variables: dict[str, str], timeout_seconds: float) -> str:
    watched = process_tree.watch(command, variables, timeout_seconds)
    if watched.code != 0:
        raise OutputError(f"Preparing failed: {' '.join(command[1:4])}: {last_words(watched)}", "Mend that first.")
    return watched.out
