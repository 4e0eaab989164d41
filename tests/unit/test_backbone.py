"""The payload is canonical, damage is detected, and a backbone returns the same bits for any batch."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fruitscale.errors import ModelError
from fruitscale.kernels import backbone

HEADER = backbone.PayloadHeader(
    architecture="mobilenet_v2",
    weights="random",
    weights_sha256="00",
    pretrained=False,
    runtime="openvino",
    input_size=32,
    features=3,
)
FILES = {"model.xml": b"<net/>", "model.bin": bytes(range(256))}


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A network whose features are the mean of each colour: its oracle is NumPy."""
    openvino = backbone.import_openvino()
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, 32, 32, 3], np.uint8, name="pixels")
    mean = ops.reduce_mean(ops.convert(pixels, "f32"), np.array([1, 2]), keep_dims=False)
    path = tmp_path_factory.mktemp("colours") / "model.xml"
    openvino.save_model(openvino.Model([mean], [pixels]), str(path), compress_to_fp16=False)
    return backbone.pack(HEADER, {"model.xml": path.read_bytes(), "model.bin": path.with_suffix(".bin").read_bytes()})


def photos(n: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_a_payload_comes_apart_as_it_was_put_together() -> None:
    assert backbone.unpack(backbone.pack(HEADER, FILES)) == (HEADER, FILES)
    assert backbone.pack(HEADER, FILES) == backbone.pack(HEADER, FILES)


@pytest.mark.parametrize("position", range(0, 1000, 13))
def test_a_changed_byte_is_seen(position: int) -> None:
    whole = backbone.pack(HEADER, FILES)
    damaged = bytearray(whole)
    damaged[position % len(whole)] ^= 0x55
    with pytest.raises(ModelError, match="damaged"):
        backbone.unpack(bytes(damaged))


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04.", b"x" * 1000])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="not an exported model"):
        backbone.unpack(content)


def test_a_cut_or_lengthened_payload_is_refused() -> None:
    whole = backbone.pack(HEADER, FILES)
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"x"):
        with pytest.raises(ModelError):
            backbone.unpack(content)


@pytest.mark.parametrize(
    "change", [{"input_size": "32"}, {"input_size": 0}, {"runtime": "onnx"}, {"pretrained": 1}, {"new": 1}]
)
def test_a_header_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.json", json.dumps(dataclasses.asdict(HEADER) | change))
    with pytest.raises(ModelError):
        backbone.unpack(buffer.getvalue())


def test_a_compressed_archive_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.bin", bytes(10**6))
    with pytest.raises(ModelError, match="compressed"):
        backbone.unpack(buffer.getvalue())


def test_features_are_right_and_the_same_bits_for_any_batch(payload: bytes) -> None:
    network = backbone.load(payload)
    pixels = photos(9)
    features = network.infer(pixels)
    np.testing.assert_allclose(features, pixels.mean((1, 2)), rtol=1e-6)
    assert features.dtype == np.float32
    for n in (0, 1, 2, 5):
        assert np.array_equal(network.infer(pixels[:n]), features[:n])
    assert np.array_equal(network.infer(pixels[::-1]), features[::-1])  # not contiguous


def test_a_result_is_the_callers_own(payload: bytes) -> None:
    network = backbone.load(payload)
    first = network.infer(photos(1))
    kept = first.copy()
    network.infer(np.zeros((1, 32, 32, 3), np.uint8))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("shape", [(1, 31, 32, 3), (32, 32, 3), (1, 32, 32, 1)])
def test_pixels_of_another_shape_are_refused(payload: bytes, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        backbone.load(payload).infer(np.zeros(shape, np.uint8))


def test_a_worker_process_loads_once(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "_loaded", {})
    reads: list[int] = []

    def shared() -> bytes:
        reads.append(1)
        return payload

    sha256 = hashlib.sha256(payload).hexdigest()
    first, loaded = backbone.cached(sha256, backbone.F32, shared)
    again, loaded_again = backbone.cached(sha256, backbone.F32, shared)
    assert (loaded, loaded_again, len(reads)) == (True, False, 1)
    assert first is again


def test_a_payload_that_changed_on_its_way_is_refused(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "_loaded", {})
    with pytest.raises(ModelError, match="not the one that was sent"):
        backbone.cached("0" * 64, backbone.F32, lambda: payload)


def test_bf16_works_or_is_refused(payload: bytes) -> None:
    core = backbone.import_openvino().Core()
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pixels = photos(2)
        np.testing.assert_allclose(
            backbone.load(payload, backbone.Execution("bf16")).infer(pixels), pixels.mean((1, 2)), rtol=2e-2
        )
    else:
        with pytest.raises(ModelError, match="bf16"):
            backbone.load(payload, backbone.Execution("bf16"))


def test_openvino_is_imported_without_its_telemetry() -> None:
    backbone.import_openvino()
    assert dict[str, object](sys.modules)["openvino_telemetry"] is None


def test_a_broken_network_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="OpenVINO can't load"):
        backbone.load(backbone.pack(HEADER, FILES))
