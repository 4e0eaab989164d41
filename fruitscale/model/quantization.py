"""int8: quantizes an exported f32 model on photos of the run, in a child process, and caches the result.

Both the calibration and the measured drift use the portable instruction set, so they don't depend on the CPU.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Model
from fruitscale.config.version import installed_version
from fruitscale.errors import ModelError
from fruitscale.kernels import backbone
from fruitscale.kernels.backbone import Calibration
from fruitscale.model import exported_model, keras_process
from fruitscale.model.exported_model import ExportedModel

FORMAT = 1
"""Version of the quantization: a higher one invalidates every cached int8 model."""
PHOTOS = 300
"""Photos that a model is calibrated on."""
MOST_DRIFT = 0.3
"""Largest mean distance of int8's features from f32's, relative to the length of f32's."""
FEWEST_NEIGHBOURS = 0.5
"""Smallest fraction of a photo's 10 nearest neighbours that must stay; not checked below 50 photos."""
ENOUGH = 50
HINT = "Use bf16 or f32 (--set model.precision=f32), another network, or another model.input_size."


def quantized(model: Model, pixels: NDArray[np.uint8], scratch: Path | None = None) -> ExportedModel:
    """Return the int8 model calibrated on these photos, from the cache or made now.

    Raises ModelError if its features are too far from f32's, and what `exported_model.export` raises.
    """
    if model.runtime != "openvino" or model.architecture == "patch_mean":
        raise ModelError(
            "int8 needs a network on OpenVINO.", "Use --set model.runtime=openvino, or model.precision=f32"
        )
    source = exported_model.export(float_model(model), scratch)
    sha256 = pixels_sha256(pixels)
    made = exported_model.cached_as(
        _key(model, source, sha256), model, scratch, lambda folder: _quantize(model, source, pixels, folder)
    )
    assert made.calibration is not None
    check_drift(made.calibration)
    return made


def fits(kept: ExportedModel, model: Model, scratch: Path | None = None) -> bool:
    """Return whether a kept int8 model is one of the configured network and weights."""
    if exported_model.differing(kept, model):
        return False
    source = exported_model.export(float_model(model), scratch)
    return kept.weights_sha256 == source.weights_sha256


def float_model(model: Model) -> Model:
    """Return the settings of the f32 model that is quantized."""
    return model.model_copy(update={"precision": "f32"})


def pixels_sha256(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of photos' pixels, in their order."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def check_drift(found: Calibration) -> None:
    """Raise ModelError if int8's features are too far from f32's."""
    lost = found.photos >= ENOUGH and found.neighbours < FEWEST_NEIGHBOURS
    if found.relative > MOST_DRIFT or lost:
        raise ModelError(
            f"int8 changes this network's features too much: {drift_words(found)}; at most {MOST_DRIFT:.0%} and at least "
            f"{FEWEST_NEIGHBOURS:.0%} are allowed.",
            HINT,
        )


def drift_words(found: Calibration) -> str:
    """Return how far int8's features are from f32's, in words."""
    return (
        f"on {found.photos} photos, they are {found.relative:.1%} from f32's on average (cosine {found.cosine:.3f}), and "
        f"{found.neighbours:.0%} of the 10 nearest neighbours stay"
    )


def measured(before: NDArray[np.float32], after: NDArray[np.float32], sha256: str) -> Calibration:
    """Return the drift between two sets of features of the same photos, rounded to 4 decimals."""
    first, second = before.astype(np.float64), after.astype(np.float64)
    lengths, new_lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    relative = np.linalg.norm(second - first, axis=1) / np.maximum(lengths, 1e-12)
    cosine = (first * second).sum(1) / np.maximum(lengths * new_lengths, 1e-12)
    means = (float(relative.mean()), float(cosine.mean()), _agreement(first, second))
    return Calibration(len(before), sha256, *(round(mean, 4) for mean in means))


def _agreement(first: NDArray[np.float64], second: NDArray[np.float64], nearest: int = 10) -> float:
    """Return which fraction of each row's nearest rows are the same in both."""
    count = min(nearest, len(first) - 1)
    if count < 1:
        return 1.0
    return float(
        np.mean([len(a & b) / count for a, b in zip(_nearest(first, count), _nearest(second, count), strict=True)])
    )


def _nearest(rows: NDArray[np.float64], count: int) -> list[set[int]]:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -np.inf)
    return [set(row) for row in np.argsort(-similar, axis=1, kind="stable")[:, :count].tolist()]


def _key(model: Model, source: ExportedModel, sha256: str) -> str:
    libraries = [f"{library} {installed_version(library) or '-'}" for library in ("nncf", "openvino")]
    digest = hashlib.sha256("\n".join([str(FORMAT), source.sha256, sha256, *libraries]).encode()).hexdigest()
    return f"{model.architecture}-int8-{model.input_size}-{digest[:32]}.model"


def _quantize(model: Model, source: ExportedModel, pixels: NDArray[np.uint8], folder: Path) -> bytes:
    (folder / "f32.model").write_bytes(source.payload)
    np.save(folder / "pixels.npy", pixels)
    keras_process.run("quantize", model, folder)
    return (folder / "payload").read_bytes()


def calibrated_header(payload: bytes, found: Calibration) -> backbone.PayloadHeader:
    """Return the header of the int8 model made of an f32 payload."""
    header, _ = backbone.unpack(payload)
    return dataclasses.replace(header, calibration=found)


Calibrate = Callable[[], NDArray[np.uint8]]
"""Returns the pixels of the photos to calibrate on."""
