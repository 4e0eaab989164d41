"""Loads and runs an exported network without its head: pixels in, features out.

An exported model is a ZIP file, byte for byte the same for the same content: `model.json` (the header), and `model.xml`
with `model.bin` for OpenVINO, or `model.pb`, a frozen graph, for TensorFlow. For NumPy it has the header alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.kernels.patches import patch_means

FILES: Mapping[str, tuple[str, ...]] = {
    "openvino": ("model.xml", "model.bin"),
    "tensorflow": ("model.pb",),
    "numpy": (),
}
_HEADER = "model.json"
_OF_FILES = ("preprocess", "output")
"""Fields that only the headers of networks that came as files have."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_HINT = "Export it again: fruitscale model export"


class Backbone(Protocol):
    """A loaded network."""

    input_size: int
    features: int

    def infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (n, features) of RGB pixels (n, input_size, input_size, 3), bit-identical for any n."""
        ...


@dataclass(frozen=True)
class PayloadHeader:
    """The header of an exported model: its network, weights and runtime."""

    architecture: str
    weights: str
    weights_sha256: str
    pretrained: bool
    runtime: Literal["openvino", "tensorflow", "numpy"]
    input_size: int
    features: int
    preprocess: str = ""
    """Of a network that came as a file: how its pixels were prepared, as JSON."""
    output: str = ""
    """Of a network that came as a file: its output settings, as JSON."""


def pack(header: PayloadHeader, files: Mapping[str, bytes]) -> bytes:
    """Return the payload of a model. The same header and files give the same bytes."""
    facts = {name: value for name, value in dataclasses.asdict(header).items() if value or name not in _OF_FILES}
    content = {_HEADER: json.dumps(facts, sort_keys=True).encode(), **files}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            archive.writestr(entry, data)
    return buffer.getvalue()


def unpack(payload: bytes) -> tuple[PayloadHeader, dict[str, bytes]]:
    """Return the header and files of a payload. Raises ModelError if it is damaged or not a payload of `pack`."""
    try:
        content = _entries(payload)
        header = _header(json.loads(content.pop(_HEADER)))
        intact = pack(header, content) == payload and tuple(content) == FILES[header.runtime]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"This is not an exported model, or it is damaged: {error}.", _HINT) from None
    if not intact:
        raise ModelError("The exported model is damaged: its content has changed since it was written.", _HINT)
    return header, content


def _entries(payload: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed")  # a small compressed file could fill the memory
        return {name: archive.read(name) for name in archive.namelist()}


def _header(values: Mapping[str, Any]) -> PayloadHeader:
    header = PayloadHeader(**values)
    for field in dataclasses.fields(PayloadHeader):
        kind = {"pretrained": bool, "input_size": int, "features": int}.get(field.name, str)
        if type(getattr(header, field.name)) is not kind:
            raise ValueError(f"its {field.name} is not a {kind.__name__}")
    if min(header.input_size, header.features) < 1 or header.runtime not in FILES:
        raise ValueError("its header is invalid")
    return header


def load(payload: bytes, precision: str) -> Backbone:
    """Load a payload; inference uses one thread. Raises ModelError if it is damaged or the precision is unavailable here."""
    header, files = unpack(payload)
    if header.runtime == "openvino":
        return _OpenVino(header, files, precision)
    if header.runtime == "numpy":
        return _PatchMean(header, precision)
    return _TensorFlow(header, files, precision)


_loaded: dict[tuple[str, str], Backbone] = {}
_loading = threading.Lock()


def cached(sha256: str, precision: str, payload: Callable[[], bytes]) -> tuple[Backbone, bool]:
    """Return this process's backbone, and whether this call loaded it. Only the last one is kept.

    `payload` is called only to load. Raises ModelError if the hash of its bytes is not `sha256`.
    """
    with _loading:
        if (known := _loaded.get((sha256, precision))) is not None:
            return known, False
        content = payload()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ModelError("The model that this worker received is not the one that was sent.", "Run again.")
        _loaded.clear()
        _loaded[sha256, precision] = load(content, precision)
        return _loaded[sha256, precision], True


class _Single:
    """Runs a network on one photo per call, one call at a time: threads can't share a runtime's request.

    Batches are no faster, as they do not fit the CPU's caches. One photo per call also wastes nothing on a partial last
    batch, and a photo's features can't depend on its neighbours.
    """

    def __init__(self, header: PayloadHeader) -> None:
        self.input_size = header.input_size
        self.features = header.features
        self._lock = threading.Lock()

    def infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        shape = (self.input_size, self.input_size, 3)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != shape:
            raise ValueError(f"uint8 pixels (n, {shape}) are expected, not {pixels.dtype} {pixels.shape}")
        pixels = np.ascontiguousarray(pixels)
        features = np.empty((len(pixels), self.features), np.float32)
        with self._lock:
            for i in range(len(pixels)):
                features[i] = self._call(pixels[i : i + 1])[0]  # a copy: the runtime reuses its buffer
        return features

    def _call(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise NotImplementedError


class _OpenVino(_Single):
    def __init__(self, header: PayloadHeader, files: Mapping[str, bytes], precision: str) -> None:
        super().__init__(header)
        openvino = import_openvino()
        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in capabilities:
            raise ModelError("This CPU can't compute in bf16.", "Use f32: --set model.precision=f32")
        settings = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # it would pin every worker process to the same core
            "INFERENCE_PRECISION_HINT": precision,
        }
        try:
            model = core.read_model(files["model.xml"], files["model.bin"])
            model.reshape([1, header.input_size, header.input_size, 3])
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise ModelError(f"OpenVINO can't load the exported model: {error}", _HINT) from None

    def _call(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        results = self._request.infer({0: pixels}, share_inputs=True, share_outputs=True)
        features: NDArray[np.float32] = results[0]
        return features


def saved(model: Any, folder: Path) -> dict[str, bytes]:  # noqa: ANN401  an openvino.Model
    """Return an OpenVINO model as the files of a payload, in float32, through files in a folder."""
    xml = folder / "model.xml"
    import_openvino().save_model(model, str(xml), compress_to_fp16=False)
    return {"model.xml": xml.read_bytes(), "model.bin": xml.with_suffix(".bin").read_bytes()}


def import_openvino() -> Any:  # noqa: ANN401  a module without types
    """Import OpenVINO without its telemetry, which reports usage if it can be imported."""
    modules: dict[str, Any] = sys.modules
    modules["openvino_telemetry"] = None  # makes its import fail; OpenVINO works without it
    import openvino

    return openvino


class _TensorFlow(_Single):
    def __init__(self, header: PayloadHeader, files: Mapping[str, bytes], precision: str) -> None:
        super().__init__(header)
        if precision != "f32":
            raise ModelError(
                f"The tensorflow runtime does not support {precision}.", "Use f32: --set model.precision=f32"
            )
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        try:
            from tensorflow.compat import v1
        except ImportError:
            raise MissingExtraError("TensorFlow", "tensorflow") from None
        definition = v1.GraphDef()
        definition.ParseFromString(files["model.pb"])
        graph = v1.Graph()
        with graph.as_default():
            v1.import_graph_def(definition, name="")
        threads = v1.ConfigProto(
            intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, use_per_session_threads=True
        )
        threads.device_count["GPU"] = 0
        session = v1.Session(graph=graph, config=threads)
        self._run = session.make_callable("Identity:0", feed_list=["pixels:0"])

    def _call(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = self._run(pixels)
        return features


class _PatchMean(_Single):
    def __init__(self, header: PayloadHeader, precision: str) -> None:
        super().__init__(header)
        if precision != "f32":
            raise ModelError(
                f"{header.architecture} does not support {precision}.", "Use f32: --set model.precision=f32"
            )
        self._grid = math.isqrt(header.features // 3)
        if self._grid**2 * 3 != header.features or self.input_size % self._grid:
            raise ModelError("The header of the exported model is invalid: its features fit no grid of patches.", _HINT)

    def _call(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return patch_means(pixels, self._grid)
