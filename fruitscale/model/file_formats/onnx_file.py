"""Opens ONNX: with ONNX Runtime as the reference. Custom operators, and data outside the file's folder, are refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.regular_files import read_regular
from fruitscale.errors import ModelError
from fruitscale.kernels.backbone import import_openvino
from fruitscale.model.file_formats.opened import NetworkRequest, OpenedNetwork, damaged, no_such_node
from fruitscale.model.file_formats.openvino_graph import fix_input, output_port

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Domains whose operators ONNX Runtime itself implements."""
LABELS = ("labels", "classes", "class_names", "names", "id2label")
"""Metadata keys under which exporters store the names of a classifier's outputs."""


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the files beside an ONNX file that hold its weights. Raises ModelError for what must not be loaded."""
    proto = read_proto(path)
    home = path.resolve().parent
    files: dict[Path, int] = {}
    for tensor in _tensors(proto):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get("location", "")
        file = path.parent / name
        if not name or Path(name).is_absolute() or not file.resolve().is_relative_to(home):
            raise ModelError(
                f"{path} keeps weights outside its folder, in {name!r}, so it is not loaded.",
                "Copy the file with the weights beside it (cp -L), or export it again in one folder.",
            )
        end = _number(entries, "offset", path) + _number(entries, "length", path)
        files[file] = max(files.get(file, 0), end)
    for file, end in files.items():
        if not file.is_file() or file.stat().st_size < end:
            found = "is truncated" if file.is_file() else "is missing"
            raise ModelError(f"{file}, with weights of {path.name}, {found}.", "Copy both files again.")
    return tuple(sorted(files))


def read_proto(path: Path) -> Any:  # noqa: ANN401  an onnx.ModelProto
    """Parse an ONNX file without its external data. Raises ModelError if it is damaged or has custom operators."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_model_from_string(read_regular(path))
    except (DecodeError, OSError, ValueError) as error:
        raise damaged(path, "ONNX", error) from None
    if not proto.graph.node:
        raise damaged(path, "ONNX", "there is no network in it")
    own = {(function.domain, function.name) for function in proto.functions}
    graphs = [proto.graph.node, *(function.node for function in proto.functions)]
    used = {(node.domain, node.op_type) for nodes in graphs for node in _nodes(nodes)}
    custom = sorted(f"{domain}.{name}" for domain, name in used - own if domain not in DOMAINS)
    if custom:
        raise ModelError(
            f"{path} has custom operators, which need code of their own, so it is not loaded: {', '.join(custom)[:300]}.",
            "Export it with ONNX's standard operators only.",
        )
    return proto


def open_onnx(request: NetworkRequest) -> OpenedNetwork:
    """Open a network for OpenVINO and for ONNX Runtime. Raises ModelError if it doesn't take photos."""
    path = request.path
    external = external_files(path)
    proto = read_proto(path)
    try:
        network = import_openvino().Core().read_model(path)
    except RuntimeError as error:
        raise damaged(path, "ONNX", error) from None
    layout = fix_input(network, request, "nchw")
    tensor = _tensor_of(proto, request.node)
    port = output_port(network, tensor, request)
    return OpenedNetwork(
        network, port, layout, _runtime(proto, path, tensor, bool(external)), "ONNX Runtime", _labels(proto)
    )


def _tensor_of(proto: Any, node: str | None) -> str | None:  # noqa: ANN401
    """Return the tensor that a name means: a tensor's own, or a node's first output."""
    by_node = {one.name: one.output[0] for one in proto.graph.node if one.name and one.output}
    tensors = {name for one in proto.graph.node for name in one.output}
    return node if node is None or node in tensors else by_node.get(node, node)


def _runtime(proto: Any, path: Path, tensor: str | None, external: bool) -> Any:  # noqa: ANN401
    """Return a function that runs the network in ONNX Runtime, on one core, up to a tensor."""
    import onnx
    import onnxruntime

    names = [output.name for output in proto.graph.output]
    wanted = tensor or names[0]
    content: str | bytes = str(path)
    if wanted not in names:
        if external:
            onnx.load_external_data_for_model(proto, str(path.parent))
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(wanted))
        content = proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  ONNX Runtime raises errors of many classes of its own
        if wanted not in names and "output" in str(error):
            raise no_such_node(wanted, names, path) from None
        raise damaged(path, "ONNX", error) from None
    entry = session.get_inputs()[0]
    kind = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16}.get(entry.type, np.float32)

    def run(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run([wanted], {entry.name: values.astype(kind)})[0], np.float32)

    return run


def _nodes(nodes: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield nodes, and those of the graphs within them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(graph.node)


def _tensors(proto: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield every tensor that may keep its data in another file."""
    yield from _of_graph(proto.graph)
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in _nodes(nodes):
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t
                for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                    yield from _of_graph(graph)


def _of_graph(graph: Any) -> Iterator[Any]:  # noqa: ANN401
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _number(entries: dict[str, str], key: str, path: Path) -> int:
    try:
        return int(entries.get(key, "0"))
    except ValueError:
        raise damaged(path, "ONNX", f"the {key} of its external data is not a number") from None


def _labels(proto: Any) -> tuple[str, ...]:  # noqa: ANN401
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    text = next((metadata[key] for key in LABELS if metadata.get(key)), "")
    try:
        values: object = ast.literal_eval(text)  # literals only: JSON and Python lists and mappings
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        values = [one.strip() for one in text.replace("\n", ",").split(",") if one.strip()]
    if isinstance(values, dict):
        values = list(values.values())
    return tuple(map(str, values)) if isinstance(values, (list, tuple)) else ()
