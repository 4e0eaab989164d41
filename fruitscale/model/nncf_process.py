"""Quantizes a network with NNCF: runs in the child process of an export, which alone imports NNCF."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Model
from fruitscale.errors import MissingExtraError
from fruitscale.kernels import backbone
from fruitscale.kernels.backbone import Execution
from fruitscale.model import quantization

KEPT = 2
"""Convolutions at the start that stay in f32."""


def quantize(model: Model, folder: Path) -> None:
    """Write `payload` in a folder: the int8 model of its `f32.model`, calibrated on its `pixels.npy`."""
    source, pixels = (folder / "f32.model").read_bytes(), np.load(folder / "pixels.npy", allow_pickle=False)
    before = backbone.load(source, Execution(portable=True)).infer(pixels)
    files = _openvino_files(_quantized(source, pixels), folder)
    found = quantization.measured(before, before, quantization.pixels_sha256(pixels))
    draft = backbone.pack(quantization.calibrated_header(source, found), files)
    after = backbone.load(draft, Execution("int8", portable=True)).infer(pixels)
    found = quantization.measured(before, after, found.sha256)
    (folder / "payload").write_bytes(backbone.pack(quantization.calibrated_header(source, found), files))


def _quantized(payload: bytes, pixels: NDArray[np.uint8]) -> Any:  # noqa: ANN401
    """Return the quantized OpenVINO model.

    Half of the range of int8 for weights (the overflow fix) keeps intermediate sums exact on CPUs without VNNI, so the
    drift is the same with and without it. The first convolutions see the widest ranges of values: in f32, they halve the
    drift, at little cost.
    """
    openvino = backbone.import_openvino()
    try:
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    except ImportError:
        raise MissingExtraError("NNCF", "int8") from None
    nncf.set_log_level(logging.ERROR)
    random.seed(0)
    np.random.seed(0)
    header, files = backbone.unpack(payload)
    network = openvino.Core().read_model(files["model.xml"], files["model.bin"])
    network.reshape([1, header.input_size, header.input_size, 3])
    return nncf.quantize(
        network,
        nncf.Dataset(list(pixels), lambda photo: photo[np.newaxis]),
        subset_size=len(pixels),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        ignored_scope=nncf.IgnoredScope(names=_first_convolutions(network)),
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
    )


def _first_convolutions(network: Any) -> list[str]:  # noqa: ANN401
    operations = network.get_ordered_ops()
    names = [op.get_friendly_name() for op in operations if op.get_type_name() in ("Convolution", "GroupConvolution")]
    return names[:KEPT]


def _openvino_files(network: Any, folder: Path) -> dict[str, bytes]:  # noqa: ANN401
    xml = folder / "model.xml"
    backbone.import_openvino().save_model(network, str(xml), compress_to_fp16=False)
    return {"model.xml": xml.read_bytes(), "model.bin": xml.with_suffix(".bin").read_bytes()}
