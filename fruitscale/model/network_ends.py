"""Puts fruitscale's ends on a network: uint8 RGB photos in, one vector of features out; the same output ends in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.model_file_section import ModelOutput
from fruitscale.errors import ModelError
from fruitscale.kernels.backbone import import_openvino
from fruitscale.model.file_formats.opened import Layout, OpenedNetwork
from fruitscale.model.preprocess import PixelPreparation

_EPSILON = 1e-12


def with_ends(opened: OpenedNetwork, preparation: PixelPreparation, output: ModelOutput) -> Any:  # noqa: ANN401
    """Return an OpenVINO model of one photo, uint8 (1, size, size, 3), to features, float32 (1, n)."""
    openvino = import_openvino()
    from openvino import opset13 as ops

    shape = [side.get_length() if side.is_static else 0 for side in opened.output.partial_shape]
    axes = pooled_axes(shape, opened.layout, output)
    port = ops.convert(opened.output, "f32").output(0)
    if output.pooling == "cls":
        port = ops.gather(port, np.int64(0), np.int64(1)).output(0)
    elif axes:
        port = ops.reduce_mean(port, np.array(axes, np.int64), keep_dims=False).output(0)
    elif len(shape) > 2:
        port = ops.reshape(port, np.array([1, -1], np.int64), special_zero=False).output(0)
    if output.l2:
        port = ops.normalize_l2(port, np.array([1], np.int64), _EPSILON, "max").output(0)
    network = openvino.Model([port], opened.network.get_parameters(), "network")
    ends = openvino.preprocess.PrePostProcessor(network)
    photo = ends.input()
    photo.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    photo.model().set_layout(openvino.Layout(opened.layout.upper()))
    steps = photo.preprocess().convert_element_type(openvino.Type.f32)
    if preparation.channels == "bgr":
        steps.reverse_channels()
    steps.mean(list(preparation.mean)).scale(list(preparation.scale))
    finished = ends.build()
    finished.outputs[0].get_tensor().set_names({"features"})
    for index, operation in enumerate(
        finished.get_ordered_ops()
    ):  # generated names depend on what the process did before
        operation.set_friendly_name(f"n{index}")
    return finished


def pooled_axes(shape: list[int], layout: Layout, output: ModelOutput) -> tuple[int, ...]:
    """Return the axes that `avg` averages over, empty for none. Raises ModelError if pooling does not fit the shape."""
    described = " × ".join(str(side or "any") for side in shape)
    if 0 in shape or not 2 <= len(shape) <= 4 or shape[0] != 1:
        raise ModelError(
            f"The network's output ({described}) is not one fixed array per photo.",
            "Choose another: --set model.output.node=…",
        )
    if output.pooling == "cls":
        if len(shape) != 3:
            raise ModelError(
                f"The network's output ({described}) has no tokens, so there is no class token.",
                "Use --set model.output.pooling=none, or avg",
            )
        return ()
    if output.pooling == "avg":
        if len(shape) == 2:
            raise ModelError(
                f"The network's output ({described}) is one vector already.", "Use --set model.output.pooling=none"
            )
        return (1,) if len(shape) == 3 else _positions(shape, layout)
    if sum(side > 1 for side in shape) > 1:
        remedy = "cls (the class token) or avg (the mean)" if len(shape) == 3 else "avg"
        raise ModelError(
            f"The network's output ({described}) is more than one vector per photo.",
            f"Use --set model.output.pooling={remedy}, or choose another: --set model.output.node=…",
        )
    return ()


def _positions(shape: list[int], layout: Layout) -> tuple[int, int]:
    """Return the axes of an output of four dimensions that are places in a photo: the two of one size, as photos are square.

    Converters keep the channels first within a network, even if its input has them last. If all are equal, `layout` decides.
    """
    first, last = shape[1] == shape[2], shape[2] == shape[3]
    if first == last:
        return (2, 3) if layout == "nchw" else (1, 2)
    return (2, 3) if last else (1, 2)


def features_of(values: NDArray[np.float32], layout: Layout, output: ModelOutput) -> NDArray[np.float32]:
    """Return the features of one photo's output, (1, n), computed with NumPy."""
    axes = pooled_axes(list(values.shape), layout, output)
    pooled = values[:, 0] if output.pooling == "cls" else values.mean(axis=axes) if axes else values.reshape(1, -1)
    return pooled / max(float(np.linalg.norm(pooled)), _EPSILON) if output.l2 else pooled
