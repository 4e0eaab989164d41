"""The record of a run that was never made."""

from __future__ import annotations

from fruitscale.runs import record as parts
from fruitscale.runs.environment import environment
from fruitscale.runs.record import RunRecord


def record(images: int, uri: str) -> RunRecord:
    sha = "0" * 64
    return RunRecord(
        id="20260101T000000Z-000000",
        fruitscale="0.1.0",
        fingerprints=parts.Fingerprints(features=sha, pca=sha),
        engine=parts.EngineRecord(name="spark", version="4.1.0", master="local[2]", cores=2, workers=1, ui=None),
        input=parts.InputRecord(uri=uri, images=images, bytes=5000 * images, labels=images, manifest_sha256=sha),
        output=parts.OutputRecord(uri="/nowhere/run"),
        model=parts.ModelRecord(
            architecture="mobilenet_v2", weights="random", weights_sha256=sha, sha256=sha, pretrained=False,
            runtime="openvino", precision="f32", input_size=224, features=8,
        ),
        images=parts.ImageCounts(featurized=images, rejected=0, resumed=0),
        pca=parts.PcaRecord(components=8, requested=8, retained_variance=1.0, standardize=False),
        seconds=parts.StageSeconds(start=3, list=1, export=5, featurize=60, fit=2, project=1, total=73),
        worker_seconds=parts.WorkerSeconds(load=1, read=5, decode=20, infer=90, write=2),
        images_per_second=images / 60,
        images_per_second_per_core=images / 120,
        model_loads=2,
        retries=parts.RetryRecord(reads=0, writes=0, tasks=0),
        peak_rss_mb=parts.PeakRss(driver=400, worker=600),
        cost=parts.Cost(machine_hours=0.1, amount=0.02, currency="EUR"),
        environment=environment(),
        residency=parts.ResidencyRecord(region="eu-west-3", endpoint=None, place=None, rule="checked"),
    )  # fmt: skip
