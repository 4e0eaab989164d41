"""Applying, reading and exporting runs that are on S3."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import fruitscale
from fruitscale.errors import ResidencyError
from fruitscale.gdpr.photo_access import photo_access
from fruitscale.runs import athena
from tests.integration.test_apply import QUICK_MODEL
from tests.s3.bucket import Bucket
from tests.s3.conftest import N_PHOTOS
from tests.s3.runs import check_clean


def test_a_run_on_s3_is_applied_and_read(few: Path, few_on_s3: Bucket, bucket: Bucket, tmp_path: Path) -> None:
    fitted, tonight = f"{bucket.uri}/fitted", f"{bucket.uri}/tonight"
    storage = bucket.storage()

    def settings(source: str | Path, target: str, **more: Any) -> dict[str, Any]:
        where = {"input": {"uri": str(source)}, "output": {"uri": target}}
        return {"engine": "local", "slots": 1, "storage": storage.model_dump() | more, **where}

    fruitscale.run(settings(few_on_s3.uri, fitted) | {"model": QUICK_MODEL})
    more = shutil.copytree(few, tmp_path / "more")  # on a disk: other versions, the same sizes
    label = sorted(more.iterdir())[0]
    shutil.copy(sorted(label.glob("*.jpg"))[0], label / "new_100.jpg")
    record = fruitscale.apply(fitted, settings(more, tonight), new_since=[fitted])
    assert record.images.featurized == 1
    assert record.pca.applied is not None
    assert record.pca.applied.uri == fitted
    nothing = fruitscale.apply(fitted, settings(few, f"{bucket.uri}/nothing"), new_since=[fitted])
    assert (nothing.input.images, nothing.input.not_taken) == (0, {"in earlier runs": N_PHOTOS})
    assert fruitscale.read(f"{bucket.uri}/nothing", storage=storage).num_rows == 0
    with pytest.raises(ResidencyError, match="does not report its region"):
        fruitscale.apply(fitted, settings(more, str(tmp_path / "run"), residency="checked"))

    table = fruitscale.read(fitted, tonight, storage=storage)
    assert table["run"].value_counts().to_pylist() == [
        {"values": fitted, "counts": N_PHOTOS}, {"values": tonight, "counts": 1},
    ]  # fmt: skip
    assert fruitscale.export(fitted, "tensorboard", tmp_path / "projector", storage=storage).notes == ()
    check_tables(athena.statements(f"{fitted}/", storage), fitted)
    assert (tmp_path / "projector" / "sprite.png").stat().st_size > 10_000
    path = sorted(few.rglob("*.jpg"))[0].relative_to(few).as_posix()
    found = fruitscale.similar(fitted, f"{few_on_s3.uri}/{path}", k=1, storage=storage).photos[0]
    assert (found.path, round(found.distance, 4)) == (path, 0)
    assert len(fruitscale.classify(fitted, tonight, config={"storage": storage.model_dump()}).photos) == 1
    held = photo_access(fitted, path, storage)
    assert (held.run.place, held.input_state) == (storage.place, "still there under this name")
    for name in ("fitted", "tonight"):
        check_clean(bucket.at(name))


def check_tables(sql: str, run: str) -> None:
    """Check that Athena's two tables have the columns of the run's Parquet files, and their folders."""
    assert sql.count("CREATE EXTERNAL TABLE") == 2
    for place, column in (("features", "features"), ("reduced", "components")):
        assert f"`fitted_{place}`" in sql
        assert f"`{column}` array<float>" in sql
        assert f"LOCATION '{run}/{place}/'" in sql
