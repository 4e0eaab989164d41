"""int8 runs: the same bytes on every engine, and a calibration that stays when photos change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import fruitscale
from fruitscale.config.schema import Config
from fruitscale.errors import FruitscaleError, ModelError
from fruitscale.runs.run_folder import MODEL

pytestmark = pytest.mark.slow
pytest.importorskip("nncf")


def config(photos: Path, output: Path, engine: str = "local", **model: object) -> Config:
    settings = {"architecture": "efficientnet_lite0", "weights": "packaged", "input_size": 64, "precision": "int8"}
    return Config.model_validate(
        {
            "engine": engine,
            "slots": 2,
            "report": False,
            "input": {"uri": str(photos)},
            "output": {"uri": str(output)},
            "model": {**settings, **model},
        }
    )


def parts(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("*/part-*.parquet"))}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fruitscale.sample import draw

    folder = tmp_path_factory.mktemp("int8") / "photos"
    draw(folder, classes=3, per_class=30)
    return folder


@pytest.mark.timeout(600)
def test_the_engines_agree_and_the_calibration_stays(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fruitscale.run(config(photos, tmp_path / "local"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))  # calibrated again, with the same result
    for engine in ("dask", "spark"):
        record = fruitscale.run(config(photos, tmp_path / engine, engine))
        assert record.model == first.model
        assert parts(tmp_path / engine) == parts(tmp_path / "local")
    changed = tmp_path / "changed"
    shutil.copytree(photos, changed)
    gone = sorted(changed.rglob("*.jpg"))[0]
    gone.unlink()
    updated = fruitscale.run(config(changed, tmp_path / "local"))
    assert updated.images.resumed == first.images.featurized - 1
    assert updated.model == first.model
    applied = fruitscale.apply(str(tmp_path / "local"), config(changed, tmp_path / "applied"))
    assert applied.model == first.model
    (tmp_path / "local" / MODEL).unlink()
    with pytest.raises(FruitscaleError):
        fruitscale.apply(str(tmp_path / "local"), config(photos, tmp_path / "again"))
    grouped = fruitscale.run(config(photos, tmp_path / "grouped", photos_per_call=4))
    assert grouped.model.photos_per_call == 4
    assert parts(tmp_path / "grouped") == parts(tmp_path / "dask")


def test_another_network_with_the_same_name_is_calibrated_anew(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs a network"):
        fruitscale.run(config(photos, tmp_path / "run", architecture="patch_mean"))
