"""How a file's network wants its pixels: the preset and the settings that override it, as one description."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.model_file_section import PerChannel, Preprocess, Preset
from fruitscale.config.schema import Model


@dataclass(frozen=True)
class PixelPreparation:
    """From uint8 RGB to the network's input: its channels in `channels` order, minus `mean`, divided by `scale`."""

    channels: Literal["rgb", "bgr"]
    layout: Literal["auto", "nhwc", "nchw"]
    mean: PerChannel
    scale: PerChannel
    keep: float | None
    """The fraction of a photo's shorter side that its centre crop keeps; None: the whole photo is stretched to a square."""

    def apply(self, pixels: NDArray[np.uint8], layout: str) -> NDArray[np.float32]:
        """Return the network's input for RGB pixels (n, size, size, 3), computed with NumPy."""
        ordered = pixels if self.channels == "rgb" else pixels[..., ::-1]
        values = (ordered.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.scale, np.float32)
        return np.ascontiguousarray(values if layout == "nhwc" else values.transpose(0, 3, 1, 2))


def _of_255(values: PerChannel) -> PerChannel:
    return (values[0] * 255, values[1] * 255, values[2] * 255)


_IMAGENET = PixelPreparation("rgb", "auto", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 224 / 256)
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PRESETS: Mapping[Preset, PixelPreparation] = {
    "none": PixelPreparation("rgb", "auto", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), None),
    "imagenet": _IMAGENET,
    "dinov2": _IMAGENET,
    "clip": PixelPreparation("rgb", "auto", _of_255(_CLIP_MEAN), _of_255(_CLIP_STD), 1.0),
    "inception": PixelPreparation("rgb", "auto", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5), None),
}


def settle(settings: Preprocess) -> PixelPreparation:
    """Return the preset with the settings that override it. A preset's mean and scale follow the order of the channels."""
    preset = PRESETS[settings.preset]
    step = 1 if settings.channels == "rgb" else -1
    return PixelPreparation(
        channels=settings.channels,
        layout=settings.layout,
        mean=settings.mean or _ordered(preset.mean, step),
        scale=settings.scale or _ordered(preset.scale, step),
        keep=_kept(settings, preset.keep),
    )


def _ordered(values: PerChannel, step: int) -> PerChannel:
    first, second, third = values[::step]
    return (first, second, third)


def _kept(settings: Preprocess, usual: float | None) -> float | None:
    if settings.resize == "squash" or (settings.resize is None and usual is None):
        return None
    return settings.keep or usual or 1.0


def described(model: Model) -> tuple[str, str]:
    """Return preprocessing and output as JSON, for headers and fingerprints; empty unless the network is a file."""
    if model.architecture != "file":
        return "", ""
    return json.dumps(asdict(settle(model.preprocess))), model.output.model_dump_json()


def crop_of(preprocess: str) -> float | None:
    """Return what a description keeps of a photo's shorter side; None: all of the photo, stretched."""
    keep: float | None = json.loads(preprocess)["keep"] if preprocess else None
    return keep
