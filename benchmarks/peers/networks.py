"""Load the network in a peer's worker: Keras `predict`, or the OpenVINO model of fruitscale's own workers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

SIZE = 224
FEATURES = 1280
BATCH = 64

Network: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Maps RGB pixels (n, 224, 224, 3) to features (n, 1280)."""


def load(runtime: str, folder: Path) -> Network:
    """Load the network for one thread: `keras` or `openvino`."""
    return {"keras": load_keras, "openvino": load_openvino}[runtime](folder)


def load_keras(folder: Path) -> Network:
    """Load model.keras, for `predict`."""
    return predictor(import_keras().models.load_model(folder / "model.keras"))


def predictor(model: Any) -> Network:
    """Return a Keras model's `predict`, without its progress bar."""

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = model.predict(pixels, batch_size=BATCH, verbose=0)
        return features

    return predict


def import_keras() -> Any:
    """Import Keras with TensorFlow limited to one thread, like every other process."""
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    return keras


def load_openvino(folder: Path) -> Network:
    """Load model.xml with the settings of fruitscale's workers, and call it as they do (kernels/backbone.py).

    One photo per call and shared buffers, so that the comparison is of the engines and not of the inference.
    """
    modules: dict[str, Any] = sys.modules
    modules["openvino_telemetry"] = None  # OpenVINO reports usage unless this import fails
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / "model.xml")
    model.reshape([1, SIZE, SIZE, 3])
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = np.ascontiguousarray(pixels)
        features = np.empty((len(pixels), FEATURES), np.float32)
        for i in range(len(pixels)):
            features[i] = request.infer({0: pixels[i : i + 1]}, share_inputs=True, share_outputs=True)[0][0]
        return features

    return infer
