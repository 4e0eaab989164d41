"""The six networks: their features, input scaling and Keras builders (Keras is imported on use)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fruitscale.config.schema import Architecture

CLASSES = 1000
"""The classes of an ImageNet head."""


@dataclass(frozen=True)
class Network:
    """One architecture.

    `build(size, top, weights)` returns a Keras model of float32 pixels in 0..255 as `scale` leaves them: average-pooled
    features (n, features) without `top`, class probabilities (n, 1000) with it. `imagenet_file(size, top)` is the name
    under which Keras keeps the weights it downloads, None where Keras has none.
    """

    features: int
    scale: Callable[[Any], Any]
    build: Callable[[int, bool, str | None], Any]
    imagenet_file: Callable[[int, bool], str] | None


def backbone(architecture: Architecture, size: int, base: Any) -> Any:  # noqa: ANN401  a Keras model
    """Prepend input and scaling to a built network: uint8 RGB (n, size, size, 3) to the output of `base`."""
    import keras

    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    return keras.Model(pixels, base(NETWORKS[architecture].scale(pixels)))


def _rescale(scale: float, offset: float) -> Callable[[Any], Any]:
    def apply(pixels: Any) -> Any:  # noqa: ANN401
        import keras

        return keras.layers.Rescaling(scale, offset, dtype="float32")(pixels)

    return apply


def _caffe(pixels: Any) -> Any:  # noqa: ANN401
    """Blue first, minus ImageNet's mean colour: ResNet50's own (keras.applications.resnet.preprocess_input)."""
    import keras

    return keras.ops.flip(keras.ops.cast(pixels, "float32"), axis=-1) - keras.ops.convert_to_tensor(
        [103.939, 116.779, 123.68], dtype="float32"
    )


def _application(name: str) -> Callable[[int, bool, str | None], Any]:
    def build(size: int, top: bool, weights: str | None) -> Any:  # noqa: ANN401
        import keras

        builder = getattr(keras.applications, name)
        pooling = None if top else "avg"
        return builder(include_top=top, weights=weights, input_shape=(size, size, 3), pooling=pooling)

    return build


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


def _mobilenet_v2_file(size: int, top: bool) -> str:
    trained = size if size in (96, 128, 160, 192, 224) else 224  # Keras has weights of each of these sizes
    return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{trained}{'' if top else '_no_top'}.h5"


def _named(file: str, no_top: str) -> Callable[[int, bool], str]:
    return lambda _size, top: f"{file}{'' if top else no_top}.h5"


NETWORKS: Mapping[Architecture, Network] = {
    "mobilenet_v2": Network(1280, _rescale(1 / 127.5, -1.0), _application("MobileNetV2"), _mobilenet_v2_file),
    # the next three scale in their own first layers, from 0..255
    "mobilenet_v3_small": Network(
        576,
        _rescale(1.0, 0.0),
        _application("MobileNetV3Small"),
        _named("weights_mobilenet_v3_small_224_1.0_float", "_no_top_v2"),
    ),
    "mobilenet_v3_large": Network(
        960,
        _rescale(1.0, 0.0),
        _application("MobileNetV3Large"),
        _named("weights_mobilenet_v3_large_224_1.0_float", "_no_top_v2"),
    ),
    "efficientnet_v2_b0": Network(
        1280, _rescale(1.0, 0.0), _application("EfficientNetV2B0"), _named("efficientnetv2-b0", "_notop")
    ),
    "resnet50": Network(
        2048, _caffe, _application("ResNet50"), _named("resnet50_weights_tf_dim_ordering_tf_kernels", "_notop")
    ),
    "efficientnet_lite0": Network(1280, _rescale(1 / 128, -127 / 128), _lite0, None),
}
