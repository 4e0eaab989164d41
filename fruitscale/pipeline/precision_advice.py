"""What bf16 would save: on this machine, or on a cluster's instance types."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fruitscale.config.schema import Config, Model
from fruitscale.kernels import cpu_kind

SPEEDUP = {224: 2.2, 160: 1.9, 128: 1.9, 96: 1.4}
"""How many times as fast bf16 was as f32, by model.input_size: EfficientNet-Lite0, a thread of a Sapphire Rapids Xeon."""
# Intel types of the 7th generation have Sapphire Rapids or newer, all with AMX: https://aws.amazon.com/ec2/instance-types/
_AMX_TYPE = re.compile(r"[a-z]+(?:[7-9]|\d\d)i[a-z-]*\.")


def here(config: Config) -> str | None:
    """Return what bf16 would save on this machine; None if nothing."""
    return _advice(config.model, "This CPU has AMX") if cpu_kind.has_bf16() else None


def on_instances(config: Config, types: Sequence[str]) -> str | None:
    """Return what bf16 would save on machines of these types; None if nothing, or if any of them lacks AMX."""
    if not types or not all(map(_AMX_TYPE.match, types)):
        return None
    return _advice(config.model, f"{', '.join(types)} have AMX")


def _advice(model: Model, who: str) -> str | None:
    is_plain = model.precision == "f32" and model.runtime == "openvino" and model.cpu != "portable"
    if not is_plain or model.architecture == "patch_mean":
        return None
    size = min(SPEEDUP, key=lambda known: abs(known - model.input_size))
    return (
        f"{who}: in bf16, inference takes about {SPEEDUP[size]:g} times less, with slightly different features: "
        "--set model.precision=bf16"
    )
