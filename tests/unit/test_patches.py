"""patch_mean: what NumPy says, to the last bit, and no library, weights or cache behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fruitscale.config.loading import load
from fruitscale.config.schema import Model
from fruitscale.errors import ModelError, UsageError
from fruitscale.kernels import backbone
from fruitscale.kernels.patches import patch_means
from fruitscale.model import check, exported_model
from fruitscale.pipeline.doctor import examine

MODEL = Model(architecture="patch_mean", input_size=64)


def photos(n: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def oracle(pixels: NDArray[np.uint8]) -> Any:
    """The mean in float64, patch by patch, rounded once."""
    n, size = pixels.shape[:2]
    side = size // 8
    patches = [pixels[:, y : y + side, x : x + side] for y in range(0, size, side) for x in range(0, size, side)]
    means = np.stack([patch.reshape(n, -1, 3).astype(np.float64).mean(axis=1) for patch in patches], axis=1)
    return means.reshape(n, -1).astype(np.float32)


@pytest.mark.parametrize("size", [32, 64, 224, 1000])
def test_features_are_numpys(size: int) -> None:
    pixels = photos(3, size)
    got = patch_means(pixels, 8)
    assert got.dtype == np.float32
    assert got.shape == (3, 192)
    assert np.array_equal(got, oracle(pixels))


def test_the_largest_sums_are_exact() -> None:
    white = np.full((1, 2048, 2048, 3), 255, np.uint8)
    assert (patch_means(white, 8) == 255).all()


def test_the_payload_is_a_header() -> None:
    exported = exported_model.export(MODEL)
    header, files = backbone.unpack(exported.payload)
    assert files == {}
    assert len(exported.payload) < 1000
    told = (exported.weights, exported.pretrained, exported.runtime, exported.features)
    assert told == ("none", False, "numpy", 192)
    assert header.features == 192
    assert exported == exported_model.export(
        MODEL.model_copy(update={"weights": "/nowhere.h5", "runtime": "tensorflow"})
    )


def test_a_loaded_payload_infers() -> None:
    model = backbone.load(exported_model.export(MODEL).payload)
    pixels = photos(5, 64)
    assert np.array_equal(model.infer(pixels), oracle(pixels))
    with pytest.raises(ValueError, match="uint8 pixels"):
        model.infer(photos(1, 32))


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ModelError, match="patch_mean does not support bf16"):
        backbone.load(exported_model.export(MODEL).payload, backbone.Execution("bf16"))


def test_a_size_that_is_no_multiple_of_the_grid_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.input_size: must be a multiple of 8 with patch_mean, got 100"):
        load(None, ["model.architecture=patch_mean", "model.input_size=100"])


def test_it_is_written_and_read_as_any_model_is(tmp_path: Path) -> None:
    exported = exported_model.export(MODEL)
    exported_model.write(exported, tmp_path / "model.bin")
    again = exported_model.export(MODEL.model_copy(update={"exported": str(tmp_path / "model.bin")}))
    assert again == exported


def test_it_can_not_be_checked() -> None:
    with pytest.raises(ModelError, match="patch_mean recognises nothing"):
        check.check(MODEL)


def test_doctor_asks_for_no_weights() -> None:
    findings = {f.what: f for f in examine(load(None, ["model.architecture=patch_mean"]).config)}
    assert findings["weights"].ok
    assert "TensorFlow" not in findings


def test_neither_tensorflow_nor_openvino_is_loaded() -> None:
    code = """
import json, sys
import numpy as np
from fruitscale.config.schema import Model
from fruitscale.kernels import backbone
from fruitscale.model import exported_model
import fruitscale.stages.warm
payload = exported_model.export(Model(architecture="patch_mean")).payload
backbone.load(payload).infer(np.zeros((1, 224, 224, 3), np.uint8))
print(json.dumps(sorted({"tensorflow", "openvino", "keras"} & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
