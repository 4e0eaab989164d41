"""Converts a network's file to what workers load, and checks it against the file's own runtime. Runs in the child."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Model
from fruitscale.errors import ModelError
from fruitscale.kernels import backbone
from fruitscale.model import preprocess
from fruitscale.model.file_formats.keras_file import open_keras
from fruitscale.model.file_formats.onnx_file import open_onnx
from fruitscale.model.file_formats.opened import NetworkRequest, OpenedNetwork
from fruitscale.model.file_formats.openvino_file import open_openvino
from fruitscale.model.file_formats.saved_model_folder import open_saved_model
from fruitscale.model.network_ends import features_of, with_ends
from fruitscale.model.own_file import NetworkFile, identify

PICTURES = 10
MOST_DISTANCE = 1e-3
"""Largest relative distance of a picture's features from those of the file's own runtime."""


class ConvertedFile(NamedTuple):
    """A payload, the labels that the file has, and the largest distance of its features from those of its own runtime."""

    payload: bytes
    labels: tuple[str, ...]
    distance: float
    runtime: str


def convert_file(model: Model, folder: Path) -> ConvertedFile:
    """Convert a network's file through files in a folder.

    Raises ModelError if it is damaged, carries code, does not take photos, or computes something else once converted.
    """
    file = identify(model)
    opened = _open(file, model, folder)
    preparation = preprocess.settle(model.preprocess)
    network = with_ends(opened, preparation, model.output)
    described, output = preprocess.described(model)
    header = backbone.PayloadHeader(
        architecture="file",
        weights="file",
        weights_sha256=file.sha256,
        pretrained=True,
        runtime="openvino",
        input_size=model.input_size,
        features=network.outputs[0].shape[1],
        preprocess=described,
        output=output,
    )
    payload = backbone.pack(header, backbone.saved(network, folder))
    return ConvertedFile(payload, opened.labels, _distance(payload, opened, preparation, model), opened.runtime)


def _open(file: NetworkFile, model: Model, folder: Path) -> OpenedNetwork:
    request = NetworkRequest(file.path, model.input_size, model.preprocess.layout, model.output.node)
    match file.format:
        case "ONNX":
            return open_onnx(request)
        case "OpenVINO":
            return open_openvino(request)
        case "Keras":
            return open_keras(request, folder)
        case "SavedModel":
            return open_saved_model(request)


def _distance(payload: bytes, opened: OpenedNetwork, preparation: preprocess.PixelPreparation, model: Model) -> float:
    """Return the largest distance from the file's own runtime. Raises ModelError if it is too large."""
    ours = backbone.load(payload)
    worst = 0.0
    found: list[NDArray[np.float32]] = []
    for picture in pictures(model.input_size):
        values = _run(opened, preparation.apply(picture[None], opened.layout), model)
        expected = features_of(values, opened.layout, model.output)
        found.append(ours.infer(picture[None]))
        distance = np.linalg.norm(found[-1] - expected) / max(float(np.linalg.norm(expected)), 1e-12)
        worst = max(worst, float(distance)) if np.isfinite(distance) else float("inf")
    if worst > MOST_DISTANCE:
        raise ModelError(
            f"Converted, {model.file} computes something else than {opened.runtime} does: features of {PICTURES} test "
            f"pictures differ by up to {worst:.2g} (relative), and {MOST_DISTANCE:g} is allowed.",
            "Export it in float32, without quantization, or to another format.",
        )
    if all(np.array_equal(features, found[0]) for features in found):
        raise ModelError(
            f"The features of {model.file} are the same for every photo.", "Choose another: --set model.output.node=…"
        )
    return worst


def _run(opened: OpenedNetwork, values: NDArray[np.float32], model: Model) -> NDArray[np.float32]:
    try:
        return opened.reference(values)
    except Exception as error:
        raise ModelError(
            f"{opened.runtime} can't run {model.file}: {str(error).strip().splitlines()[0][:300]}",
            "Check model.input_size, and the file.",
        ) from error


def pictures(size: int) -> NDArray[np.uint8]:
    """Return test pictures, more like photos than noise: patches of colour, blended, with some grain."""
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 255, (PICTURES, 8, 8, 3))
    places = np.linspace(0, 7, size)
    low = np.minimum(places.astype(int), 6)
    part = (places - low)[None, :, None, None]
    rows = corners[:, low] * (1 - part) + corners[:, low + 1] * part
    part = part.swapaxes(1, 2)
    blended = rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    grain = generator.normal(0, 8, blended.shape)
    drawn: NDArray[np.uint8] = np.clip(blended + grain, 0, 255).astype(np.uint8)
    return drawn
