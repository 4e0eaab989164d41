"""The networks of Keras Applications: their features, sizes, input scaling and weights files (Keras is imported on use)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fruitscale.config.schema import Architecture

FileName: TypeAlias = Callable[[int, bool], str]
Scaling: TypeAlias = Literal["none", "tf", "torch", "caffe"]
"""How keras.applications scales pixels (imagenet_utils.preprocess_input); none: the network's first layers do it."""


@dataclass(frozen=True)
class Network:
    """One architecture.

    `build(size, top, weights)` returns a Keras model of float32 pixels in 0..255 as `scale` leaves them: average-pooled
    features (n, features) without `top`, class probabilities (n, 1000) with it. `imagenet_file(size, top)` is the name
    under which Keras keeps the weights it downloads, None where Keras has none. `head_size` is the input size of the ImageNet
    head, `least_size` the smallest one without it.
    """

    features: int
    scale: Callable[[Any], Any]
    build: Callable[[int, bool, str | None], Any]
    imagenet_file: FileName | None
    head_size: int = 224
    least_size: int = 32


def rescale(scale: float, offset: float) -> Callable[[Any], Any]:
    """Return a function that multiplies and shifts pixels."""

    def apply(pixels: Any) -> Any:  # noqa: ANN401
        import keras

        return keras.layers.Rescaling(scale, offset, dtype="float32")(pixels)

    return apply


def _caffe(pixels: Any) -> Any:  # noqa: ANN401
    """Blue first, minus ImageNet's mean colour."""
    import keras

    return keras.ops.flip(keras.ops.cast(pixels, "float32"), axis=-1) - keras.ops.convert_to_tensor(
        [103.939, 116.779, 123.68], dtype="float32"
    )


def _torch(pixels: Any) -> Any:  # noqa: ANN401
    """Minus ImageNet's mean colour, divided by its standard deviation, from 0..1."""
    import keras

    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    colours = keras.ops.cast(pixels, "float32") / 255.0
    return (colours - keras.ops.convert_to_tensor(mean, "float32")) / keras.ops.convert_to_tensor(deviation, "float32")


_SCALE: Mapping[Scaling, Callable[[Any], Any]] = {
    "none": rescale(1.0, 0.0),
    "tf": rescale(1 / 127.5, -1.0),
    "torch": _torch,
    "caffe": _caffe,
}


def _named(file: str, no_top: str = "_notop") -> FileName:
    return lambda _size, top: f"{file}{'' if top else no_top}.h5"


def _kernels(name: str, no_top: str = "_notop") -> FileName:
    return _named(f"{name}_weights_tf_dim_ordering_tf_kernels", no_top)


def _mobilenet_v2_file(size: int, top: bool) -> str:
    trained = size if size in (96, 128, 160, 192, 224) else 224  # Keras has weights of each of these sizes
    return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{trained}{'' if top else '_no_top'}.h5"


def _mobilenet_file(size: int, top: bool) -> str:
    return f"mobilenet_1_0_{size if size in (128, 160, 192, 224) else 224}_tf{'' if top else '_no_top'}.h5"


def _network(
    name: str, features: int, scaling: Scaling, file: FileName, head_size: int = 224, least_size: int = 32
) -> Network:
    def build(size: int, top: bool, weights: str | None) -> Any:  # noqa: ANN401
        import keras

        builder = getattr(keras.applications, name)
        pooling = None if top else "avg"
        return builder(include_top=top, weights=weights, input_shape=(size, size, 3), pooling=pooling)

    return Network(features, _SCALE[scaling], build, file, head_size, least_size)


KERAS_APPLICATIONS: Mapping[Architecture, Network] = {
    "mobilenet_v2": _network("MobileNetV2", 1280, "tf", _mobilenet_v2_file),
    "mobilenet_v3_small": _network(
        "MobileNetV3Small", 576, "none", _named("weights_mobilenet_v3_small_224_1.0_float", "_no_top_v2")
    ),
    "mobilenet_v3_large": _network(
        "MobileNetV3Large", 960, "none", _named("weights_mobilenet_v3_large_224_1.0_float", "_no_top_v2")
    ),
    "efficientnet_v2_b0": _network("EfficientNetV2B0", 1280, "none", _named("efficientnetv2-b0")),
    "resnet50": _network("ResNet50", 2048, "caffe", _kernels("resnet50")),
    "mobilenet": _network("MobileNet", 1024, "tf", _mobilenet_file),
    "efficientnet_b0": _network("EfficientNetB0", 1280, "none", _named("efficientnetb0"), 224),
    "efficientnet_b1": _network("EfficientNetB1", 1280, "none", _named("efficientnetb1"), 240),
    "efficientnet_b2": _network("EfficientNetB2", 1408, "none", _named("efficientnetb2"), 260),
    "efficientnet_b3": _network("EfficientNetB3", 1536, "none", _named("efficientnetb3"), 300),
    "efficientnet_b4": _network("EfficientNetB4", 1792, "none", _named("efficientnetb4"), 380),
    "efficientnet_b5": _network("EfficientNetB5", 2048, "none", _named("efficientnetb5"), 456),
    "efficientnet_b6": _network("EfficientNetB6", 2304, "none", _named("efficientnetb6"), 528),
    "efficientnet_b7": _network("EfficientNetB7", 2560, "none", _named("efficientnetb7"), 600),
    "efficientnet_v2_b1": _network("EfficientNetV2B1", 1280, "none", _named("efficientnetv2-b1"), 240),
    "efficientnet_v2_b2": _network("EfficientNetV2B2", 1408, "none", _named("efficientnetv2-b2"), 260),
    "efficientnet_v2_b3": _network("EfficientNetV2B3", 1536, "none", _named("efficientnetv2-b3"), 300),
    "efficientnet_v2_s": _network("EfficientNetV2S", 1280, "none", _named("efficientnetv2-s"), 384),
    "efficientnet_v2_m": _network("EfficientNetV2M", 1280, "none", _named("efficientnetv2-m"), 480),
    "efficientnet_v2_l": _network("EfficientNetV2L", 1280, "none", _named("efficientnetv2-l"), 480),
    "resnet101": _network("ResNet101", 2048, "caffe", _kernels("resnet101")),
    "resnet152": _network("ResNet152", 2048, "caffe", _kernels("resnet152")),
    "resnet50_v2": _network("ResNet50V2", 2048, "tf", _kernels("resnet50v2")),
    "resnet101_v2": _network("ResNet101V2", 2048, "tf", _kernels("resnet101v2")),
    "resnet152_v2": _network("ResNet152V2", 2048, "tf", _kernels("resnet152v2")),
    "densenet121": _network("DenseNet121", 1024, "torch", _kernels("densenet121")),
    "densenet169": _network("DenseNet169", 1664, "torch", _kernels("densenet169")),
    "densenet201": _network("DenseNet201", 1920, "torch", _kernels("densenet201")),
    "convnext_tiny": _network("ConvNeXtTiny", 768, "none", _named("convnext_tiny")),
    "convnext_small": _network("ConvNeXtSmall", 768, "none", _named("convnext_small")),
    "convnext_base": _network("ConvNeXtBase", 1024, "none", _named("convnext_base")),
    "convnext_large": _network("ConvNeXtLarge", 1536, "none", _named("convnext_large")),
    "convnext_xlarge": _network("ConvNeXtXLarge", 2048, "none", _named("convnext_xlarge")),
    "inception_v3": _network("InceptionV3", 2048, "tf", _kernels("inception_v3"), 299, 75),
    "inception_resnet_v2": _network("InceptionResNetV2", 1536, "tf", _kernels("inception_resnet_v2"), 299, 75),
    "xception": _network("Xception", 2048, "tf", _kernels("xception"), 299, 71),
    "nasnet_mobile": _network("NASNetMobile", 1056, "tf", _named("nasnet_mobile", "_no_top")),
    "nasnet_large": _network("NASNetLarge", 4032, "tf", _named("nasnet_large", "_no_top"), 331),
    "vgg16": _network("VGG16", 512, "caffe", _kernels("vgg16")),
    "vgg19": _network("VGG19", 512, "caffe", _kernels("vgg19")),
}
