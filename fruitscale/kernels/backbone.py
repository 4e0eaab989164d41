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
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.kernels import cpu_kind
from fruitscale.kernels.patches import patch_means

FILES: Mapping[str, tuple[str, ...]] = {
    "openvino": ("model.xml", "model.bin"),
    "tensorflow": ("model.pb",),
    "numpy": (),
}
H = TypeVar("H", "PayloadHeader", "Calibration")
_HEADER = "model.json"
_OPTIONAL = ("calibration", "preprocess", "output")
"""Fields that only the headers of int8 models, and of networks that came as files, have."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAIN_LAYERS = frozenset({"Convolution", "FullyConnected", "MatMul"})
_KINDS = {"bool": bool, "int": int, "float": float}
_HINT = "Export it again: fruitscale model export"


class Backbone(Protocol):
    """A loaded network."""

    input_size: int
    features: int
    cpu: str
    """The kind of CPU that it is compiled for; empty where it doesn't matter."""

    def infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (n, features) of RGB pixels (n, input_size, input_size, 3), bit-identical for any n."""
        ...


@dataclass(frozen=True)
class Calibration:
    """How a model was quantized: on how many photos, the sha256 of their pixels, and how far its features are from f32's.

    `relative` is the mean distance relative to the length of a photo's features, `cosine` the mean similarity, and
    `neighbours` the fraction of a photo's 10 nearest neighbours that stay.
    """

    photos: int
    sha256: str
    relative: float
    cosine: float
    neighbours: float


@dataclass(frozen=True)
class PayloadHeader:
    """The header of an exported model: its network, weights and runtime; `calibration` if it is int8."""

    architecture: str
    weights: str
    weights_sha256: str
    pretrained: bool
    runtime: Literal["openvino", "tensorflow", "numpy"]
    input_size: int
    features: int
    calibration: Calibration | None = None
    preprocess: str = ""
    """Of a network that came as a file: how its pixels were prepared, as JSON."""
    output: str = ""
    """Of a network that came as a file: its output settings, as JSON."""


@dataclass(frozen=True)
class Execution:
    """How a model is run: the precision, the photos per call, and whether on the instruction set that every CPU has."""

    precision: str = "f32"
    photos_per_call: int = 1
    portable: bool = False


F32 = Execution()


def pack(header: PayloadHeader, files: Mapping[str, bytes]) -> bytes:
    """Return the payload of a model. The same header and files give the same bytes."""
    facts = {name: value for name, value in dataclasses.asdict(header).items() if value or name not in _OPTIONAL}
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
    calibration = values.get("calibration")
    header = PayloadHeader(**{**values, "calibration": calibration and _typed(Calibration(**calibration))})
    if min(header.input_size, header.features) < 1 or header.runtime not in FILES:
        raise ValueError("its header is invalid")
    return _typed(header)


def _typed(facts: H) -> H:
    """Return a header as it is. Raises ValueError if a value has another type than its field."""
    for field in dataclasses.fields(facts):
        kind = _KINDS.get(str(field.type), str)
        if field.name != "calibration" and type(getattr(facts, field.name)) is not kind:
            raise ValueError(f"its {field.name} is not a {kind.__name__}")
    return facts


def load(payload: bytes, execution: Execution = F32) -> Backbone:
    """Load a payload; inference uses one thread. Raises ModelError if it is damaged or can't be run like this here."""
    header, files = unpack(payload)
    if (execution.precision == "int8") != (header.calibration is not None):
        made = "f32" if header.calibration is None else "int8"
        raise ModelError(
            f"The exported model is {made}, not {execution.precision}.", "Set model.precision to it, or export another."
        )
    if header.runtime == "openvino":
        return _OpenVino(header, files, execution)
    if header.runtime == "numpy":
        return _PatchMean(header, execution)
    return _TensorFlow(header, files, execution)


_loaded: dict[tuple[str, Execution], Backbone] = {}
_loading = threading.Lock()


def cached(sha256: str, execution: Execution, payload: Callable[[], bytes]) -> tuple[Backbone, bool]:
    """Return this process's backbone, and whether this call loaded it. Only the last one is kept.

    `payload` is called only to load. Raises ModelError if the hash of its bytes is not `sha256`.
    """
    with _loading:
        if (known := _loaded.get((sha256, execution))) is not None:
            return known, False
        content = payload()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ModelError("The model that this worker received is not the one that was sent.", "Run again.")
        _loaded.clear()
        _loaded[sha256, execution] = load(content, execution)
        return _loaded[sha256, execution], True


class _Grouped:
    """Runs a network on groups of photos, one call at a time: threads can't share a runtime's request.

    A partial last group is filled with black photos, so the network always sees the same shape, and a photo's features don't
    depend on how many others there are.
    """

    def __init__(self, header: PayloadHeader, execution: Execution) -> None:
        self.input_size = header.input_size
        self.features = header.features
        self.cpu = ""
        self._group = execution.photos_per_call
        self._lock = threading.Lock()

    def infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        shape = (self.input_size, self.input_size, 3)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != shape:
            raise ValueError(f"uint8 pixels (n, {shape}) are expected, not {pixels.dtype} {pixels.shape}")
        pixels = np.ascontiguousarray(pixels)
        features = np.empty((len(pixels), self.features), np.float32)
        with self._lock:
            for start in range(0, len(pixels), self._group):
                group = pixels[start : start + self._group]
                # copied: the runtime reuses its buffer
                features[start : start + self._group] = self._call(self._filled(group))[: len(group)]
        return features

    def _filled(self, group: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if len(group) == self._group:
            return group
        return np.concatenate([group, np.zeros((self._group - len(group), *group.shape[1:]), np.uint8)])

    def _call(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise NotImplementedError


class _OpenVino(_Grouped):
    def __init__(self, header: PayloadHeader, files: Mapping[str, bytes], execution: Execution) -> None:
        super().__init__(header, execution)
        if execution.portable:
            cpu_kind.make_portable()
        self.cpu = cpu_kind.kind_in_use()
        openvino = import_openvino()
        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if execution.precision == "bf16" and not ("BF16" in capabilities and cpu_kind.can_bf16()):
            where = "The portable instruction set" if execution.portable else "This CPU"
            raise ModelError(f"{where} can't compute in bf16.", "Use f32: --set model.precision=f32")
        settings = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # it would pin every worker process to the same core
            "INFERENCE_PRECISION_HINT": "bf16" if execution.precision == "bf16" else "f32",
        }
        try:
            model = core.read_model(files["model.xml"], files["model.bin"])
            model.reshape([execution.photos_per_call, header.input_size, header.input_size, 3])
            compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO can't load the exported model: {error}", _HINT) from None
        if execution.portable:
            _check_portable(compiled)
        self._request = compiled.create_infer_request()

    def _call(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        results = self._request.infer({0: pixels}, share_inputs=True, share_outputs=True)
        features: NDArray[np.float32] = results[0]
        return features


def _check_portable(compiled: Any) -> None:  # noqa: ANN401
    """Raise ModelError if convolutions or products use more than the portable instruction set."""
    for operation in compiled.get_runtime_model().get_ops():
        facts = operation.get_rt_info()
        kernel = facts["primitiveType"].astype(str)
        if facts["layerType"].astype(str) in _MAIN_LAYERS and re.search("avx512|amx", kernel):
            raise ModelError(
                f"This process can't use the portable instruction set: OpenVINO already runs {kernel} in it.",
                f"Start a new one, or set {cpu_kind.CAPS[0]}={cpu_kind.PORTABLE} in its environment.",
            )


def _refuse_unless_plain(runtime: str, execution: Execution) -> None:
    """Raise ModelError if a runtime other than OpenVINO is to do what only OpenVINO can."""
    if execution.precision != "f32":
        raise ModelError(f"{runtime} does not support {execution.precision}.", "Use f32: --set model.precision=f32")
    if execution.photos_per_call != 1:
        raise ModelError(f"{runtime} takes one photo per call.", "Leave model.photos_per_call out.")


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


class _TensorFlow(_Grouped):
    def __init__(self, header: PayloadHeader, files: Mapping[str, bytes], execution: Execution) -> None:
        super().__init__(header, execution)
        _refuse_unless_plain("The tensorflow runtime", execution)
        if execution.portable:
            raise ModelError("The tensorflow runtime has no portable instruction set.", "Leave model.cpu out.")
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


class _PatchMean(_Grouped):
    def __init__(self, header: PayloadHeader, execution: Execution) -> None:
        super().__init__(header, execution)
        _refuse_unless_plain(header.architecture, execution)
        self._grid = math.isqrt(header.features // 3)
        if self._grid**2 * 3 != header.features or self.input_size % self._grid:
            raise ModelError("The header of the exported model is invalid: its features fit no grid of patches.", _HINT)

    def _call(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return patch_means(pixels, self._grid)
