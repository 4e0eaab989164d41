"""The names of the networks of Keras Applications."""

from typing import Literal, TypeAlias

KerasName: TypeAlias = Literal[
    "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_v2_b0", "resnet50",
    "mobilenet",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_b1", "efficientnet_v2_b2", "efficientnet_v2_b3",
    "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
    "resnet101", "resnet152", "resnet50_v2", "resnet101_v2", "resnet152_v2",
    "densenet121", "densenet169", "densenet201",
    "convnext_tiny", "convnext_small", "convnext_base", "convnext_large", "convnext_xlarge",
    "inception_v3", "inception_resnet_v2", "xception", "nasnet_mobile", "nasnet_large", "vgg16", "vgg19",
]  # fmt: skip
