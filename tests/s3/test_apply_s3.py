"""Applying, reading and exporting runs that are on S3."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fruitscale
from tests.conftest import Cli
from tests.s3.bucket import Bucket
from tests.s3.conftest import N_PHOTOS
from tests.s3.runs import check_clean

QUICK = ["-e", "local", "--set", "slots=1", "--set", "model.architecture=patch_mean", "--set", "model.input_size=64"]


def test_a_run_on_s3_is_applied_and_read(
    s3_cli: Cli, few: Path, few_on_s3: Bucket, bucket: Bucket, tmp_path: Path
) -> None:
    fitted, tonight = f"{bucket.uri}/fitted", f"{bucket.uri}/tonight"
    made = s3_cli("run", *QUICK, *bucket.flags(), "-i", few_on_s3.uri, "-o", fitted)
    assert made.code == 0, made.err

    more = shutil.copytree(few, tmp_path / "more")  # on a disk: other versions, the same sizes
    label = sorted(more.iterdir())[0]
    shutil.copy(sorted(label.glob("*.jpg"))[0], label / "new_100.jpg")
    apply = ["apply", "--pca", fitted, "-e", "local", "--set", "slots=1", "--new-since", fitted, *bucket.flags()]
    record = s3_cli(*apply, "-i", more, "-o", tonight, "--json").record
    assert record["images"]["featurized"] == 1
    assert record["pca"]["applied"]["uri"] == fitted
    assert s3_cli(*apply, "-i", few, "-o", f"{bucket.uri}/none", "--json").out == "null\n"
    assert not [name for name in bucket.names() if name.startswith("none/")]

    refused = s3_cli(*apply, "-i", more, "-o", tmp_path / "run", "--set", "storage.residency=checked")
    assert refused.code == 1
    assert "doesn't say in which region" in refused.err

    table = fruitscale.read(fitted, tonight, storage=bucket.storage())
    assert table["run"].value_counts().to_pylist() == [
        {"values": fitted, "counts": N_PHOTOS}, {"values": tonight, "counts": 1},
    ]  # fmt: skip
    done = s3_cli("export", fitted, "--to", "tensorboard", "-o", tmp_path / "projector", "--json", *bucket.flags())
    assert json.loads(done.out)["notes"] == []
    assert (tmp_path / "projector" / "sprite.png").stat().st_size > 10_000
    for name in ("fitted", "tonight"):
        check_clean(bucket.at(name))
