"""OpenVINO models of one photo: the input that they take, fixed to one size, and a port for each output or inner node."""

from __future__ import annotations

from typing import Any

from fruitscale.errors import ModelError
from fruitscale.model.file_formats.opened import (
    Layout,
    NetworkRequest,
    choose_output,
    find_layout,
    no_such_node,
    one_input,
)

_KINDS = ("f32", "f16", "bf16", "u8")
"""Element types of an input of pixels."""


def fix_input(network: Any, request: NetworkRequest, usual: Layout) -> Layout:  # noqa: ANN401  an openvino.Model
    """Fix a network's input to one photo of the requested size; return its layout. Raises ModelError unless it takes photos."""
    inputs = [(_name(port), _shape(port)) for port in network.inputs]
    described = one_input(inputs, request.path)
    port = network.inputs[0]
    kind = port.get_element_type().get_type_name()
    rank = port.partial_shape.rank
    if rank.is_dynamic or kind not in _KINDS:
        raise ModelError(
            f"{request.path} does not take photos: its input {described} has the type {kind}.",
            "Export the image encoder alone, with one 4-D input of floats: docs/own-model.md",
        )
    sides = [None if side.is_dynamic else side.get_length() for side in port.partial_shape]
    layout = find_layout(sides, described, usual, request)
    size = request.size
    try:
        network.reshape([1, 3, size, size] if layout == "nchw" else [1, size, size, 3])
    except RuntimeError as error:
        raise ModelError(
            f"{request.path} can't take one photo of {size} pixels per side: {_last(error)}",
            "Set the size that it was exported for: --set model.input_size=…",
        ) from None
    return layout


def output_port(network: Any, node: str | None, request: NetworkRequest) -> Any:  # noqa: ANN401
    """Return the port whose values become features: the only output, or the output or inner node of that name.

    Raises ModelError if there is none.
    """
    results = [result.input_value(0) for result in network.get_results()]
    names = [_name(port) for port in network.outputs]
    if node is None:
        if len(results) != 1:
            raise choose_output(names, [_shape(port) for port in network.outputs], request.path)
        return results[0]
    for public, port in zip(network.outputs, results, strict=True):
        if node in public.get_names() | port.get_names():
            return port
    for operation in network.get_ordered_ops():
        ports = operation.outputs()
        for port in ports:
            if node in port.get_names() or (operation.get_friendly_name() == node and len(ports) == 1):
                return port
    raise no_such_node(node, names, request.path)


def _name(port: Any) -> str:  # noqa: ANN401
    names = sorted(port.get_names(), key=lambda name: (len(name), name))
    return names[0] if names else str(port.get_node().get_friendly_name())


def _shape(port: Any) -> str:  # noqa: ANN401
    if port.partial_shape.rank.is_dynamic:
        return "any shape"
    return " × ".join("any" if side.is_dynamic else str(side.get_length()) for side in port.partial_shape)


def _last(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "unknown"
