"""A network that comes as a file (model.architecture: file): its format, files and hash. Nothing of it is executed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from fruitscale.config.regular_files import open_regular
from fruitscale.config.schema import Model
from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.model.file_formats import onnx_file, openvino_file

Format: TypeAlias = Literal["ONNX", "OpenVINO", "Keras", "SavedModel"]
SUFFIXES: Mapping[str, Format] = {".onnx": "ONNX", ".xml": "OpenVINO", ".keras": "Keras"}
LIBRARIES: Mapping[Format, tuple[str, ...]] = {
    "ONNX": ("onnx", "onnxruntime"),
    "OpenVINO": (),
    "Keras": ("tensorflow", "keras"),
    "SavedModel": ("tensorflow", "keras"),
}
"""What converts and checks a format, besides OpenVINO."""
_FORMATS = "model.file is an .onnx, .xml (OpenVINO) or .keras file, or a SavedModel folder."


@dataclass(frozen=True)
class NetworkFile:
    """A network's file or folder. `sha256` is that of the file, or of the names and hashes of its files if it has several."""

    path: Path
    format: Format
    files: tuple[Path, ...]
    sha256: str

    @property
    def n_bytes(self) -> int:
        """The size of all of its files."""
        return sum(file.stat().st_size for file in self.files)


def identify(model: Model) -> NetworkFile:
    """Find and hash the configured network. Raises ModelError if it is none, MissingExtraError without its libraries."""
    assert model.file is not None
    path, form = locate(model.file)
    require_libraries(form)
    files = _files(path, form)
    return NetworkFile(path, form, files, _sha256(path, files))


def locate(name: str) -> tuple[Path, Format]:
    """Return the path of a network and its format. Raises ModelError if it is none."""
    if "://" in name:
        raise ModelError(f"Networks are read from disk, but {name} is not a path.", "Copy it here and give its path.")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ModelError(f"{name} is a folder without a saved_model.pb, so it is not a SavedModel.", _FORMATS)
        return path, "SavedModel"
    if not path.exists():
        raise ModelError(f"There is no network {name}.", _FORMATS)
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise ModelError(
            f"{name} is not read: only formats that can't execute code are (not pickles, PyTorch's .pt or whole .h5 models).",
            f"{_FORMATS} Export the network to one: docs/own-model.md",
        )
    return path, form


def libraries(model: Model) -> tuple[str, ...]:
    """Return what converts and checks the configured network, besides OpenVINO. Raises ModelError if there is none."""
    assert model.file is not None
    return LIBRARIES[locate(model.file)[1]]


def require_libraries(form: Format) -> None:
    """Raise MissingExtraError unless what converts and checks a format is installed."""
    for library in LIBRARIES[form]:
        if importlib.util.find_spec(library) is None:
            extra = "onnx" if form == "ONNX" else "tensorflow"
            raise MissingExtraError({"onnx": "ONNX", "tensorflow": "TensorFlow"}.get(library, library), extra)


def _files(path: Path, form: Format) -> tuple[Path, ...]:
    if form == "ONNX":
        return (path, *onnx_file.external_files(path))
    if form == "OpenVINO":
        return (path, openvino_file.weights_file(path))
    if form == "Keras":
        return (path,)
    found = sorted(file for file in path.rglob("*") if not file.is_dir())
    home = path.resolve()
    for file in found:
        if not file.resolve().is_relative_to(home):
            raise ModelError(
                f"{path} has a file outside its folder, so it is not loaded: {file.relative_to(path)}.",
                "Copy the files themselves into the folder (cp -rL).",
            )
    return tuple(found)


def _sha256(path: Path, files: tuple[Path, ...]) -> str:
    """Return a hash that depends neither on where the network is, nor on its own name."""
    home = path if path.is_dir() else path.parent
    try:
        sums = [(_file_sha256(file), "" if file == path else os.path.relpath(file, home)) for file in files]
    except OSError as error:
        raise ModelError(f"The network {path} can't be read: {error.strerror}.", "Check the path.") from None
    if len(sums) == 1 and path.is_file():
        return sums[0][0]
    lines = "".join(f"{sha256}  {name}\n" for sha256, name in sums)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _file_sha256(path: Path) -> str:
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
