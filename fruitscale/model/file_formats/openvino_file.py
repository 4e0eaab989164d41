"""Opens OpenVINO's own format (IR): an .xml file with the network, and a .bin file with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import ModelError
from fruitscale.kernels.backbone import import_openvino
from fruitscale.model.file_formats.opened import NetworkRequest, OpenedNetwork, damaged
from fruitscale.model.file_formats.openvino_graph import fix_input, output_port


def weights_file(path: Path) -> Path:
    """Return the .bin file of an .xml file. Raises ModelError if there is none."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ModelError(f"{path} has no {weights.name} beside it, with its weights.", "Copy both files.")
    return weights


def open_openvino(request: NetworkRequest) -> OpenedNetwork:
    """Open a network for OpenVINO; its reference is the file as it is. Raises ModelError if it doesn't take photos."""
    openvino = import_openvino()
    core = openvino.Core()

    def read() -> Any:  # noqa: ANN401  an openvino.Model
        try:
            return core.read_model(request.path, weights_file(request.path))
        except RuntimeError as error:
            raise damaged(request.path, "OpenVINO IR", error) from None

    network, original = read(), read()
    layout = fix_input(network, request, "nchw")
    fix_input(original, request, "nchw")
    reference = openvino.Model([output_port(original, request.node, request)], original.get_parameters())
    compiled = core.compile_model(reference, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kind = np.uint8 if compiled.inputs[0].get_element_type().get_type_name() == "u8" else np.float32

    def run(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array(compiled({0: values.astype(kind)})[0], np.float32)

    port = output_port(network, request.node, request)
    return OpenedNetwork(network, port, layout, run, "OpenVINO", _labels(network))


def _labels(network: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the labels that OpenVINO's Model API stores, in which blanks are underscores."""
    path = ["model_info", "labels"]
    if not network.has_rt_info(path):
        return ()
    return tuple(str(network.get_rt_info(path).astype(str)).split())
