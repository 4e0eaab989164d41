"""Small networks of photos in ONNX, as exporters write them: a CNN that classifies, and a transformer (ViT)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("apple", "banana", "cherry", "date", "elder")
WIDTH, PATCH = 12, 8


class _Graph:
    """Nodes and weights, one after another."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, value: Any) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def normal(self, name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        return self.weight(name, (self.random.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32))

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}_node", **attributes))
        return output


def _model(graph: _Graph, shape: list[Any], outputs: dict[str, list[Any]], **metadata: str) -> Any:
    entry = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in outputs.items()]
    made = helper.make_graph(graph.nodes, "network", [entry], results, graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model


def channels_last() -> Any:
    """A CNN as tf2onnx writes it: channels last in the input, first within; `maps` are inner, `constant` is no photo's."""
    g = _Graph(4)
    x = g.add("Transpose", ["pixel_values"], "first", perm=[0, 3, 1, 2])
    x = g.add("Conv", [x, g.normal("w0", 20, 3, 3, 3)], "conv0", strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.add("Relu", [x], "maps")
    g.add("Transpose", [x], "last", perm=[0, 2, 3, 1])
    g.add("Identity", [g.normal("constants", 1, 4)], "constant")
    outputs: dict[str, list[Any]] = {"last": ["batch", "h", "w", 20], "constant": [1, 4]}
    return _model(g, ["batch", "side", "side", 3], outputs)


def cnn(*, batch: int | str = "batch", size: int | str = "side", labels: bool = True) -> Any:
    """Three convolutions and a classifier with five classes; `pooled` and `maps` are inner tensors."""
    g = _Graph(1)
    x = g.add("Conv", ["pixel_values", g.normal("w0", 16, 3, 3, 3)], "conv0", strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.add("Relu", [x], "relu0")
    x = g.add("Conv", [x, g.normal("w1", 32, 16, 3, 3), g.normal("b1", 32)], "conv1", strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.add("Relu", [x], "maps")
    x = g.add("GlobalAveragePool", [x], "pooled")
    x = g.add("Flatten", [x], "flat")
    g.add("Gemm", [x, g.normal("w2", 32, len(LABELS)), g.normal("b2", len(LABELS))], "logits")
    metadata = {"labels": str(list(LABELS))} if labels else {}
    return _model(g, [batch, 3, size, size], {"logits": [batch, len(LABELS)]}, **metadata)


def vit(size: int = 32) -> Any:
    """One transformer block as optimum exports it: all sides dynamic, last_hidden_state and pooler_output."""
    g, tokens = _Graph(2), (size // PATCH) ** 2 + 1
    x = g.add("Conv", ["pixel_values", g.normal("patch", WIDTH, 3, PATCH, PATCH)], "patches", strides=[PATCH, PATCH])
    batch = g.add("Shape", ["pixel_values"], "batch_side", start=0, end=1)
    rest = g.weight("rest", np.array([WIDTH, -1], np.int64))
    flat = g.add("Concat", [batch, rest], "flat_shape", axis=0)
    x = g.add("Transpose", [g.add("Reshape", [x, flat], "flat")], "tokens", perm=[0, 2, 1])
    one = g.weight("one", np.array([1, WIDTH], np.int64))
    shape = g.add("Concat", [batch, one], "class_shape", axis=0)
    token = g.add("Expand", [g.normal("class", 1, 1, WIDTH), shape], "class_token")
    x = g.add("Add", [g.add("Concat", [token, x], "joined", axis=1), g.normal("places", 1, tokens, WIDTH)], "embedded")
    q, k, v = (g.add("MatMul", [x, g.normal(f"w_{name}", WIDTH, WIDTH)], name) for name in "qkv")
    scores = g.add("MatMul", [q, g.add("Transpose", [k], "k_t", perm=[0, 2, 1])], "scores")
    scores = g.add("Softmax", [scores], "attention", axis=-1)
    x = g.add("Add", [x, g.add("MatMul", [scores, v], "mixed")], "attended")
    ones, zeros = g.weight("gain", np.ones(WIDTH, np.float32)), g.weight("shift", np.zeros(WIDTH, np.float32))
    x = g.add("LayerNormalization", [x, ones, zeros], "last_hidden_state", axis=-1)
    first = g.add("Gather", [x, g.weight("zero", np.array(0, np.int64))], "first", axis=1)
    g.add("Tanh", [g.add("MatMul", [first, g.normal("w_pool", WIDTH, WIDTH)], "projected")], "pooler_output")
    sides = ["batch_size", "num_channels", "height", "width"]
    outputs = {"last_hidden_state": ["batch_size", "tokens", WIDTH], "pooler_output": ["batch_size", WIDTH]}
    return _model(g, sides, outputs)


def text_encoder(*, with_photos: bool = False) -> Any:
    """Embeddings of token numbers; `with_photos`: and of photos, as a whole CLIP has."""
    g = _Graph(3)
    x = g.add("Gather", [g.normal("words", 10, WIDTH), "input_ids"], "embedded")
    entries = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])]
    if with_photos:
        entries.append(helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 32, 32]))
    result = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", "tokens", WIDTH])
    graph = helper.make_graph(g.nodes, "text", entries, [result], g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def custom_operator() -> Any:
    """The CNN with an operator that nothing but its maker's library has."""
    model = cnn()
    model.graph.node[1].domain, model.graph.node[1].op_type = "my.company", "FancyRelu"
    model.opset_import.append(helper.make_opsetid("my.company", 1))
    return model


def save(model: Any, path: Path) -> Path:
    onnx.save(model, path)
    return path


def save_external(model: Any, path: Path, location: str) -> Path:
    """Save a network with its weights in another file, named as a hostile file could name it."""
    onnx.save_model(model, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(proto.SerializeToString())
    return path
