"""Opens SavedModel folders, with TensorFlow as the reference. Operators that run code or open files are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.regular_files import read_regular
from fruitscale.errors import ModelError
from fruitscale.kernels.backbone import import_openvino
from fruitscale.model.file_formats.opened import (
    NetworkRequest,
    OpenedNetwork,
    choose_output,
    damaged,
    no_such_node,
    one_input,
)
from fruitscale.model.file_formats.openvino_graph import fix_input, output_port

SIGNATURE = "serving_default"
REFUSED = re.compile(
    r"PyFunc|ReadFile|WriteFile|MatchingFiles|Dataset|Iterator|Queue|Reader|Table|Rpc|Recv$|Send$|Summary|Print|Py$|Lookup|Socket"
)
"""Operators that run Python, open files, or reach other machines."""
CHECKPOINT = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}
"""Operators with which TensorFlow reads a SavedModel's own variables; the network itself must not have them."""


def open_saved_model(request: NetworkRequest) -> OpenedNetwork:
    """Open a network for OpenVINO and for TensorFlow. Raises ModelError if it carries code, or takes no photos."""
    import tensorflow as tf

    refuse_code(request.path)
    try:
        network = import_openvino().convert_model(str(request.path))
        loaded = tf.saved_model.load(str(request.path))
        signature = loaded.signatures[SIGNATURE]
    except Exception as error:  # noqa: BLE001  TensorFlow and OpenVINO raise errors of many classes
        raise damaged(request.path, "a SavedModel", error) from None
    entries = signature.structured_input_signature[1]
    one_input([(name, _shape(spec.shape)) for name, spec in entries.items()], request.path)
    [(entry, spec)] = entries.items()
    layout = fix_input(network, request, "nhwc")
    names = sorted(signature.structured_outputs)
    if request.node is None and len(names) != 1:
        shapes = [_shape(signature.structured_outputs[name].shape) for name in names]
        raise choose_output(names, shapes, request.path)
    node = request.node or names[0]
    if node not in names:
        raise no_such_node(node, names, request.path)
    port = output_port(network, None if len(names) == 1 else node, request)

    def run(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(signature(**{entry: tf.cast(values, spec.dtype)})[node], np.float32)

    return OpenedNetwork(network, port, layout, run, "TensorFlow")


def refuse_code(folder: Path) -> None:
    """Raise ModelError for a SavedModel that is damaged, or whose operators run code or open files."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(read_regular(folder / "saved_model.pb"))
    except (DecodeError, OSError) as error:
        raise damaged(folder, "a SavedModel", error) from None
    graphs = [graph for graph in saved.meta_graphs if SIGNATURE in graph.signature_def]
    if not graphs:
        raise ModelError(
            f"{folder} has no signature {SIGNATURE}, so there is nothing to run.",
            "Export it with Keras: model.export(FOLDER)",
        )
    everything = {node.op for graph in saved.meta_graphs for node in _all_nodes(graph.graph_def)}
    reached = {name for graph in graphs for name in _reached(graph)}
    found = sorted({name for name in everything if REFUSED.search(name)} | (reached & CHECKPOINT))
    if found:
        raise ModelError(
            f"{folder} has operators that run code or open files, so it is not loaded: {', '.join(found)[:300]}.",
            "Export the network without them, or as ONNX.",
        )


def _all_nodes(definition: Any) -> Iterator[Any]:  # noqa: ANN401  a GraphDef
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def _reached(graph: Any) -> set[str]:  # noqa: ANN401  a MetaGraphDef
    """Return the operators of what the signature calls, and of all functions within it."""
    by_name = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    waiting = [by_name.get(info.name.split(":")[0]) for info in graph.signature_def[SIGNATURE].outputs.values()]
    seen: set[str] = set()
    operators: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        operators.add(node.op)
        inputs = [name.lstrip("^").split(":")[0] for name in node.input]
        called = [
            name for value in node.attr.values() for name in (value.func.name, *(f.name for f in value.list.func))
        ]
        for name in inputs:
            if name in by_name and name not in seen:
                seen.add(name)
                waiting.append(by_name[name])
        for name in called:
            if name in functions and f"function {name}" not in seen:
                seen.add(f"function {name}")
                waiting += functions[name]
    return operators


def _shape(shape: Any) -> str:  # noqa: ANN401
    return " × ".join("any" if side is None else str(side) for side in shape)
