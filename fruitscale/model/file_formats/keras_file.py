"""Opens .keras files in Keras' safe mode, with Keras as the reference. Layers that carry code are refused first."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import ModelError
from fruitscale.kernels.backbone import import_openvino
from fruitscale.model.file_formats.opened import (
    Layout,
    NetworkRequest,
    OpenedNetwork,
    choose_output,
    damaged,
    find_layout,
    no_such_node,
    one_input,
)
from fruitscale.model.file_formats.openvino_graph import fix_input, output_port
from fruitscale.model.network import frozen

CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "function")
"""Classes that run code, or another model, which a file brings along; a function that Keras has itself is saved by its name."""
MOST_CONFIG_BYTES = 100_000_000


def open_keras(request: NetworkRequest, folder: Path) -> OpenedNetwork:
    """Open a network for OpenVINO, through a file in `folder`. Raises ModelError if it carries code, or takes no photos."""
    import keras

    refuse_code(request.path)
    try:
        whole = keras.saving.load_model(request.path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001  Keras raises ValueError, TypeError, OSError and more
        raise damaged(request.path, "a Keras model", error) from None
    network = _up_to(whole, request)
    described = one_input([(one.name, _shape(one.shape)) for one in network.inputs], request.path)
    entry = network.inputs[0]
    layout = find_layout(list(entry.shape), described, "nhwc", request)
    return _opened(network, entry, layout, request, folder)


def _opened(network: Any, entry: Any, layout: Layout, request: NetworkRequest, folder: Path) -> OpenedNetwork:  # noqa: ANN401
    size, source = request.size, folder / "network.pb"
    shape = [1, 3, size, size] if layout == "nchw" else [1, size, size, 3]
    try:
        source.write_bytes(frozen(network, shape, entry.dtype))
        converted = import_openvino().convert_model(str(source))
    except Exception as error:  # noqa: BLE001  a network can fail in many ways while it is traced
        raise ModelError(
            f"{request.path} can't be converted: {str(error).strip().splitlines()[0][:300]}",
            "Check model.input_size, and that Keras itself runs it.",
        ) from None
    fixed = NetworkRequest(request.path, size, layout, None)
    fix_input(converted, fixed, layout)

    def run(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(network(values.astype(entry.dtype), training=False), np.float32)

    return OpenedNetwork(converted, output_port(converted, "Identity:0", fixed), layout, run, "Keras")


def _up_to(network: Any, request: NetworkRequest) -> Any:  # noqa: ANN401
    """Return the network up to its only output, or to the output or layer of that name."""
    import keras

    if not getattr(network, "inputs", None):
        raise ModelError(
            f"{request.path} is a subclassed Keras model, whose code is not in the file.",
            "Save a functional or sequential model, or export it as ONNX: model.export('network.onnx', format='onnx')",
        )
    names = list(network.output_names)
    if request.node is None:
        if len(network.outputs) != 1:
            raise choose_output(names, [_shape(one.shape) for one in network.outputs], request.path)
        return network
    by_name = dict(zip(names, network.outputs, strict=True))
    by_name |= {layer.name: layer.output for layer in network.layers if layer.name not in by_name}
    if request.node not in by_name:
        raise no_such_node(request.node, names, request.path)
    return keras.Model(network.inputs, by_name[request.node])


def refuse_code(path: Path) -> None:
    """Raise ModelError for a .keras file that is damaged, or whose layers are not all Keras' own."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > MOST_CONFIG_BYTES:
                raise ValueError("its config.json is too large")
            config = json.loads(archive.read("config.json"))
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"{broken} is damaged")
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, RecursionError, NotImplementedError) as error:
        raise damaged(path, "a Keras model", error) from None
    found = sorted(set(_foreign(config)))
    if found:
        raise ModelError(
            f"{path} has layers with code of their own, so it is not loaded: {', '.join(found)[:300]}.",
            "Replace them by Keras' own layers, or export the network as ONNX: model.export('network.onnx', format='onnx')",
        )


def _foreign(value: object) -> Iterator[str]:
    """Yield the classes and functions of a config that are not Keras' own."""
    if isinstance(value, list):
        for one in value:
            yield from _foreign(one)
    if not isinstance(value, Mapping):
        return
    name, module = value.get("class_name"), value.get("module")
    if isinstance(name, str) and "config" in value:
        is_foreign = isinstance(module, str) and module != "builtins" and module.split(".")[0] != "keras"
        registered = value.get("registered_name")
        is_custom = isinstance(registered, str) and ">" in registered and not registered.startswith("keras>")
        if is_foreign or is_custom or name in CODE:
            yield name if name != "function" else str(value["config"])
    for inner in value.values():
        yield from _foreign(inner)


def _shape(shape: Any) -> str:  # noqa: ANN401
    return " × ".join("any" if side is None else str(side) for side in shape)
