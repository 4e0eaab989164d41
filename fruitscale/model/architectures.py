"""The networks by name: those of Keras Applications, and EfficientNet-Lite0, which is built here (Keras is imported on use)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fruitscale.config.schema import PATCH_GRID, Architecture, Model
from fruitscale.model.keras_applications import KERAS_APPLICATIONS, Network, rescale

CLASSES = 1000
"""The classes of an ImageNet head."""


def backbone(architecture: Architecture, size: int, base: Any) -> Any:  # noqa: ANN401  a Keras model
    """Prepend input and scaling to a built network: uint8 RGB (n, size, size, 3) to the output of `base`."""
    import keras

    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    return keras.Model(pixels, base(NETWORKS[architecture].scale(pixels)))


LITE0_EPSILON = 1e-3
# arXiv:1905.11946, table 1, without squeeze-excitation: repeats, kernel, stride, expansion, channels out
LITE0_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _lite0(size: int, top: bool, weights: str | None) -> Any:  # noqa: ANN401
    """Build EfficientNet-Lite0 (https://github.com/tensorflow/tpu, efficientnet/lite).

    Layers carry the names of the packaged weights, `_blocks.0._bn1` as `blocks_0_bn1`. Padding is TensorFlow's `same`,
    which the PyTorch port imitates.
    """
    import keras

    assert weights is None, "Keras has no weights of EfficientNet-Lite0"
    pixels = keras.Input((size, size, 3))
    x = _unit(keras.layers.Conv2D(32, 3, 2, "same", use_bias=False, name="conv_stem")(pixels), "bn0")
    index = 0
    for repeats, kernel, stride, expansion, channels in LITE0_BLOCKS:
        for repeat in range(repeats):
            block = (kernel, stride if repeat == 0 else 1, expansion, channels)
            x = _lite0_block(x, f"blocks_{index}_", block)
            index += 1
    x = _unit(keras.layers.Conv2D(1280, 1, use_bias=False, name="conv_head")(x), "bn1")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if top:
        x = keras.layers.Dense(CLASSES, "softmax", name="fc")(x)
    return keras.Model(pixels, x, name="efficientnet_lite0")


def _lite0_block(x: Any, name: str, block: tuple[int, int, int, int]) -> Any:  # noqa: ANN401
    import keras

    kernel, stride, expansion, channels = block
    shortcut, wide = x, x.shape[-1] * expansion
    if expansion != 1:
        x = _unit(keras.layers.Conv2D(wide, 1, use_bias=False, name=f"{name}expand_conv")(x), f"{name}bn0")
    depthwise = keras.layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}depthwise_conv")
    x = _unit(depthwise(x), f"{name}bn1")
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}project_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=LITE0_EPSILON, name=f"{name}bn2")(x)
    return x + shortcut if stride == 1 and shortcut.shape[-1] == channels else x


def _unit(x: Any, name: str) -> Any:  # noqa: ANN401
    import keras

    x = keras.layers.BatchNormalization(epsilon=LITE0_EPSILON, name=name)(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu6")(x)


NETWORKS: Mapping[Architecture, Network] = {
    **KERAS_APPLICATIONS,
    "efficientnet_lite0": Network(1280, rescale(1 / 128, -127 / 128), _lite0, None),
}


def n_features(model: Model) -> int | None:
    """Return the number of features; None if only the model's file has it."""
    network = NETWORKS.get(model.architecture)
    if model.architecture == "patch_mean":
        return PATCH_GRID * PATCH_GRID * 3
    return None if network is None or model.exported is not None else network.features
