"""Prepare the runs: photos, model files, the PCA input, and the expected results."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers import answers, pca_input
from benchmarks.peers.answers import Features
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.workspace import HERE, Workspace, environment, run_command
from fruitscale.bench import photo_sets, process_tree
from fruitscale.bench.measure import failure_message
from fruitscale.config.schema import Input, Storage
from fruitscale.engines.java import find_java
from fruitscale.errors import FruitscaleError, OutputError
from fruitscale.runs import parts, run_folder
from fruitscale.runs.record import RunRecord
from fruitscale.storage.store import open_store

WIDTH = 1280
PEER_PARTS = 20
"""Number of parts that peers read, as the notebook recipe writes them. fruitscale reads as many as its own run writes."""
LOCAL = Contestant("reference", "featurize", None, "local", ours=True)


@dataclass(frozen=True)
class Expected:
    """The expected results: features and retained variance of the local engine, and NumPy's variance ratios."""

    features: Features | None = None
    retained_variance: float = 0.0
    ratios: Sequence[float] = ()


def versions(python: Path) -> dict[str, str]:
    """Return the installed versions of the packages at the top of requirements.txt; empty without that Python."""
    if not python.is_file():
        return {}
    direct, _, _ = (HERE / "requirements.txt").read_text(encoding="utf-8").partition("# Their dependencies")
    names = [line.partition("==")[0].partition("[")[0] for line in direct.splitlines() if "==" in line]
    listed = json.loads(
        _run([str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format=json"], {}, 60)
    )
    found = {package["name"]: str(package["version"]) for package in listed}
    return {name: found[name] for name in names if name in found}


def java_home(spark_version: str | None) -> str | None:
    """Return the Java home that fruitscale's Spark engine would use; None if there is none (Spark then reports it)."""
    if spark_version is None:
        return None
    try:
        return str(find_java(spark_version).home)
    except FruitscaleError:
        return None


def photos_and_model(workspace: Workspace, input_uri: str, images: int) -> str | None:
    """Link photos and write the model files. Returns a note if photos are repeated."""
    found = photo_sets.link_photos(input_uri, photo_sets.list_paths(Input(uri=input_uri)), images, workspace.photos)
    workspace.model.mkdir()
    command = [sys.executable, "-m", "benchmarks.peers.model_files", str(workspace.model), *workspace.settings]
    _run(command, environment(workspace, LOCAL), workspace.timeout_seconds)
    return found.note


def reference_run(workspace: Workspace) -> Expected:
    """Run fruitscale's local engine once, and return its results as the expected ones."""
    output = workspace.work / "reference"
    command = run_command(workspace, LOCAL.variant, output)
    record = RunRecord.model_validate_json(_run(command, environment(workspace, LOCAL), workspace.timeout_seconds))
    features = answers.read_features(output / run_folder.FEATURES, workspace.photos)
    return Expected(features, record.pca.retained_variance)


def pca_input_and_ratios(workspace: Workspace, rows: int) -> Expected:
    """Write the PCA input as fruitscale's parts and as a few large parts for the peers, and solve it with NumPy."""
    features = pca_input.draw(rows, WIDTH)
    paths = [f"a/{row:06d}.jpg" for row in range(rows)]
    store = open_store(str(workspace.parts(ours=True).parent), Storage())
    step = max(64, min(4096, rows // 1000))  # same as shards.images: auto
    for index, start in enumerate(range(0, rows, step)):
        part_rows = slice(start, min(start + step, rows))
        part = parts.Part(paths[part_rows], [None] * (part_rows.stop - start), features[part_rows])
        parts.write_vectors(store, parts.name(run_folder.FEATURES, index), "features", part)
    folder = workspace.parts(ours=False)
    folder.mkdir(parents=True)
    for index in range(PEER_PARTS):
        part_rows = slice(index * rows // PEER_PARTS, (index + 1) * rows // PEER_PARTS)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(features[part_rows].reshape(-1)), WIDTH)
        pq.write_table(pa.table({"path": paths[part_rows], "features": lists}), folder / f"part-{index:05d}.parquet")
    return Expected(ratios=answers.exact_ratios(features, workspace.components["pca"]))


def _run(command: list[str], variables: dict[str, str], timeout_seconds: float) -> str:
    result = process_tree.run(command, variables, timeout_seconds)
    if result.code != 0:
        problem = f"The preparation failed: {' '.join(command[1:4])}: {failure_message(result)}"
        raise OutputError(problem, "Fix this error, then start again.")
    return result.out
