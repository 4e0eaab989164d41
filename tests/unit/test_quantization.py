"""int8: its drift and limit, what it needs, and one quantization in a child process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fruitscale.config.schema import Config, Model
from fruitscale.errors import MissingExtraError, ModelError, UsageError
from fruitscale.frames.kernel import featurizer
from fruitscale.kernels import backbone
from fruitscale.kernels.backbone import Calibration, Execution
from fruitscale.model import exported_model, keras_process, quantization
from fruitscale.pipeline import run_model

SIZE, WIDTH = 32, 16
INT8 = Model(architecture="efficientnet_lite0", weights="packaged", input_size=SIZE, precision="int8")


@cache
def small_network() -> bytes:
    """Return the payload of three convolutions and a mean; OpenVINO numbers nodes, so it is made once."""
    openvino = backbone.import_openvino()
    from openvino import opset13 as ops

    random = np.random.default_rng(0)
    pixels = ops.parameter([-1, SIZE, SIZE, 3], np.uint8, name="pixels")
    x = ops.transpose(ops.convert(pixels, "f32"), np.array([0, 3, 1, 2]))
    x = ops.multiply(x, np.float32(1 / 255))
    channels = 3
    for stride in (2, 1, 1):
        kernel = random.normal(0, 1 / np.sqrt(9 * channels), (WIDTH, channels, 3, 3)).astype(np.float32)
        x = ops.relu(ops.convolution(x, kernel, [stride, stride], [1, 1], [1, 1], [1, 1]))
        channels = WIDTH
    model = openvino.Model([ops.reduce_mean(x, np.array([2, 3]))], [pixels], "small")
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        openvino.save_model(model, str(xml), compress_to_fp16=False)
        files = {"model.xml": xml.read_bytes(), "model.bin": xml.with_suffix(".bin").read_bytes()}
    header = backbone.PayloadHeader("efficientnet_lite0", "packaged", "0" * 64, True, "openvino", SIZE, WIDTH)
    return backbone.pack(header, files)


def photos(count: int, size: int = SIZE) -> np.ndarray:
    """Return smooth photos: one colour each, with a gradient."""
    random = np.random.default_rng(1)
    colours, steps = random.integers(0, 200, (count, 1, 1, 3)), np.linspace(0, 55, size)[None, :, None, None]
    return np.broadcast_to(colours + steps, (count, size, size, 3)).astype(np.uint8)


def quantized_in_child(folder: Path, pixels: np.ndarray) -> bytes:
    folder.mkdir()
    (folder / "f32.model").write_bytes(small_network())
    np.save(folder / "pixels.npy", pixels)
    keras_process.run("quantize", INT8, folder)
    return (folder / "payload").read_bytes()


def test_a_network_is_quantized_and_remembers_how(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    pixels = photos(12)
    payload = quantized_in_child(tmp_path / "first", pixels)
    made = exported_model.from_payload(payload)
    assert made.calibration is not None
    assert (made.precision, made.calibration.photos) == ("int8", 12)
    assert made.calibration.sha256 == quantization.pixels_sha256(pixels)
    before = backbone.load(small_network()).infer(pixels)
    after = backbone.load(payload, Execution("int8")).infer(pixels)
    drift = quantization.measured(before, after, "").relative
    assert 0 < drift < 0.2
    assert abs(drift - made.calibration.relative) < 0.02
    for size in (2, 3, 5):
        assert np.array_equal(backbone.load(payload, Execution("int8", size)).infer(pixels), after)
    with pytest.raises(ModelError, match="is int8, not f32"):
        backbone.load(payload)


@pytest.mark.slow
def test_two_exports_have_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    first, second = (quantized_in_child(tmp_path / name, photos(12)) for name in ("first", "second"))
    assert first == second


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_groups_have_the_bytes_of_single_photos(size: int, precision: str) -> None:
    payload, pixels = small_network(), photos(7)
    try:
        single = backbone.load(payload, Execution(precision)).infer(pixels)
    except ModelError:
        pytest.skip("this CPU has no bf16")
    assert np.array_equal(backbone.load(payload, Execution(precision, size)).infer(pixels), single)


def test_the_header_of_f32_is_as_it_was() -> None:
    header, _ = backbone.unpack(small_network())
    assert header.calibration is None
    assert b"calibration" not in small_network()


@pytest.mark.parametrize("change", [{"photos": "12"}, {"relative": 1}, {"sha256": None}])
def test_a_damaged_calibration_is_refused(change: dict[str, object]) -> None:
    header, files = backbone.unpack(small_network())
    values = {"photos": 12, "sha256": "0" * 64, "relative": 0.1, "cosine": 0.99, "neighbours": 0.9}
    payload = backbone.pack(quantization.calibrated_header(backbone.pack(header, files), Calibration(**values)), files)  # type: ignore[arg-type]
    assert backbone.unpack(payload)[0].calibration == Calibration(**values)  # type: ignore[arg-type]
    bad = backbone.pack(
        quantization.calibrated_header(payload, Calibration(**{**values, **change})),  # type: ignore[arg-type]
        files,
    )
    with pytest.raises(ModelError, match="damaged"):
        backbone.unpack(bad)


def test_no_drift_is_none_and_a_large_one_is_refused_with_its_figures() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
    same = quantization.measured(rows, rows, "")
    assert (same.photos, same.relative, same.cosine, same.neighbours) == (60, 0.0, 1.0, 1.0)
    quantization.check_drift(same)
    far = quantization.measured(rows, np.roll(rows, 1, axis=1), "")
    with pytest.raises(ModelError, match=r"60 photos, they are 1\d\d\.\d% from f32's .* at most 30%"):
        quantization.check_drift(far)
    quantization.check_drift(Calibration(10, "", 0.1, 0.99, 0.4))  # too few photos to judge by neighbours
    with pytest.raises(ModelError, match="40% of the 10 nearest"):
        quantization.check_drift(Calibration(300, "", 0.1, 0.99, 0.4))


def test_int8_without_photos_names_the_remedy() -> None:
    with pytest.raises(ModelError, match="calibrated on photos") as error:
        exported_model.export(INT8)
    assert "model export" in str(error.value.hint)
    with pytest.raises(ModelError, match="calibrated on photos"):
        featurizer(Config(model=INT8))
    with pytest.raises(UsageError, match=r"input\.uri is not set"):
        run_model.export_for(Config(model=INT8))


@pytest.mark.parametrize("change", [{"runtime": "tensorflow"}, {"architecture": "patch_mean"}])
def test_int8_needs_a_network_on_openvino(change: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="needs a network on OpenVINO"):
        quantization.quantized(INT8.model_copy(update=change), photos(2))


def test_without_nncf_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as error:
        keras_process.run("quantize", INT8, tmp_path)
    assert error.value.hint == "pip install 'fruitscale[int8]'"


@pytest.mark.parametrize("execution", [Execution("int8"), Execution("f32", 4)])
def test_patch_mean_runs_as_it_is_only(execution: Execution) -> None:
    with pytest.raises(ModelError):
        backbone.load(exported_model.patch_mean(Model(architecture="patch_mean")), execution)


def test_an_exported_model_must_have_the_configured_precision(tmp_path: Path) -> None:
    path = tmp_path / "small.model"
    path.write_bytes(small_network())
    with pytest.raises(ModelError, match="has precision f32, but int8 is configured"):
        exported_model.read(path, INT8)
    assert exported_model.read(path, INT8.model_copy(update={"precision": "bf16"})).precision == "f32"
