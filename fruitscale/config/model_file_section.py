"""The settings of a network that comes as a file (model.architecture: file): its input and its output."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool

from fruitscale.config.section import Section

Preset: TypeAlias = Literal["none", "imagenet", "clip", "dinov2", "inception"]
Shade: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Divisor: TypeAlias = Annotated[float, Field(ge=1, strict=True, allow_inf_nan=False)]
PerChannel: TypeAlias = tuple[float, float, float]


class Preprocess(Section):
    """What the file's network expects of its pixels; only with architecture: file."""

    preset: Preset = "none"
    """none: pixels of 0 to 255 | imagenet (torchvision) | clip | dinov2 | inception (-1 to 1; SigLIP, many ViTs)."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """The order of the colours."""
    layout: Literal["auto", "nhwc", "nchw"] = "auto"
    """Where the channels are: last or first; auto: where the file's input has 3, else where its format usually has them."""
    mean: tuple[Shade, Shade, Shade] | None = None
    """Subtracted from pixels of 0 to 255, per channel in the file's order; null: the preset's."""
    scale: tuple[Divisor, Divisor, Divisor] | None = None
    """What pixels of 0 to 255 are then divided by, per channel; null: the preset's. A std of 0 to 1 is multiplied by 255."""
    resize: Literal["squash", "crop"] | None = None
    """squash: stretch the whole photo to a square; crop: keep its middle; null: the preset's (none, inception: squash)."""
    keep: Annotated[float, Field(gt=0, le=1)] | None = None
    """With crop: the fraction of the shorter side that is kept; null: the preset's (clip: 1; imagenet, dinov2: 224/256)."""


class ModelOutput(Section):
    """Which output of the file's network becomes the features; only with architecture: file."""

    node: str | None = None
    """The name of an output, or of a node within the network; null: its only output."""
    pooling: Literal["none", "avg", "cls"] = "none"
    """none: one vector per photo | avg: the mean over all positions or tokens | cls: the first token of a transformer."""
    l2: StrictBool = False
    """Scale each photo's features to length 1, as CLIP's and SigLIP's similarity does."""
