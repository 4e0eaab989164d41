"""The exported model: the bytes that workers load, cached by everything that can change them.

The driver reads the cache without TensorFlow; a model that is not cached is exported in a child process (keras_process).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fruitscale.config.cache_folder import cache_folder
from fruitscale.config.regular_files import read_regular
from fruitscale.config.schema import PATCH_GRID, Model
from fruitscale.config.version import __version__, installed_version
from fruitscale.errors import ModelError
from fruitscale.kernels import backbone
from fruitscale.model import architectures, keras_process, own_file, preprocess, weights
from fruitscale.storage.scratch import ScratchFolder

FORMAT = 1
"""Version of the export format: a higher one invalidates every cached file."""


@dataclass(frozen=True)
class ExportedModel:
    """A model for the workers. `sha256` is that of the payload, `weights` the config's value."""

    payload: bytes = dataclasses.field(repr=False)
    sha256: str
    architecture: str
    weights: str
    weights_sha256: str
    pretrained: bool
    runtime: str
    input_size: int
    features: int
    calibration: backbone.Calibration | None = None
    preprocess: str = ""
    output: str = ""

    @property
    def precision(self) -> str:
        """Whether it was quantized; an f32 model also runs in bf16."""
        return "f32" if self.calibration is None else "int8"

    @property
    def crop(self) -> float | None:
        """The fraction of a photo's shorter side that is kept; None: the whole photo is stretched to a square."""
        return preprocess.crop_of(self.preprocess)


def execution(model: Model) -> backbone.Execution:
    """Return how workers run the model."""
    return backbone.Execution(model.precision, model.photos_per_call, model.cpu == "portable")


def is_cached(model: Model) -> bool:
    """Return whether `export` only reads the cache, of int8 the f32 model. Raises ModelError if the weights are unavailable."""
    if model.exported is not None or model.architecture == "patch_mean":
        return True
    key = _key(model, weights.resolve(model))
    return key is not None and any(_read_cached(folder / key, model) is not None for folder in _folders(None))


def export(model: Model, scratch: Path | None = None) -> ExportedModel:
    """Return a model for the workers: `model.exported`, else from the cache, else exported now and cached.

    `scratch` is a folder to use if the cache folder can't be written. Raises ModelError if the weights are unavailable or
    don't fit, MissingExtraError if TensorFlow is needed and not installed.
    """
    if model.exported is not None:
        return read(model.exported, model)
    if model.architecture == "patch_mean":
        return from_payload(patch_mean(model))
    if model.precision == "int8":
        raise ModelError(
            "An int8 model is calibrated on photos, and there are none here.",
            "Write it with `fruitscale model export FILE --set model.precision=int8 --set input.uri=PHOTOS`, then set "
            "model.exported to FILE.",
        )
    key = _key(model, weights.resolve(model))
    folders = list(_folders(scratch))
    if key is not None:
        for folder in folders:
            if (found := _read_cached(folder / key, model)) is not None:
                return found
    exported = _make(model, scratch)
    _keep(exported, key or _key(model, weights.resolve(model)), folders)
    return exported


def cached_as(key: str, model: Model, scratch: Path | None, make: Callable[[Path], bytes]) -> ExportedModel:
    """Return the model with a key from the cache, else make its payload in a temporary folder and cache it."""
    folders = list(_folders(scratch))
    for folder in folders:
        if (found := _read_cached(folder / key, model)) is not None:
            return found
    with ScratchFolder("export", scratch) as folder:
        exported = from_payload(make(folder), model)
    _keep(exported, key, folders)
    return exported


def read(path: str | Path, model: Model | None = None) -> ExportedModel:
    """Read an exported model. Raises ModelError if it is not one or, with `model`, does not match it.

    Architecture, input size and runtime must match; the weights may differ.
    """
    try:
        payload = read_regular(Path(path).expanduser())
    except OSError as error:
        raise ModelError(
            f"The exported model {path} can't be read: {error.strerror}.", "Export one: fruitscale model export"
        ) from None
    try:
        exported = from_payload(payload)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from None
    for name, configured in differing(exported, model) if model else ():
        actual = getattr(exported, name)
        raise ModelError(
            f"The exported model {path} has {name} {actual}, but {configured} is configured.",
            f"Use --set model.{name}={actual}, or export another model.",
        )
    return exported


def differing(exported: ExportedModel, model: Model) -> list[tuple[str, object]]:
    """Return the settings that an exported model does not match, with the configured values."""
    names = ["architecture", "input_size", *([] if model.architecture == "patch_mean" else ["runtime"])]
    if "int8" in (exported.precision, model.precision):
        names.append("precision")
    configured: dict[str, object] = {name: getattr(model, name) for name in names}
    configured |= dict(zip(("preprocess", "output"), preprocess.described(model), strict=True))
    return [(name, value) for name, value in configured.items() if getattr(exported, name) != value]


def write(exported: ExportedModel, path: str | Path) -> None:
    """Write an exported model atomically. Raises ModelError if it can't be written."""
    try:
        _write(exported.payload, Path(path).expanduser())
    except OSError as error:
        raise ModelError(
            f"The exported model can't be written to {path}: {error.strerror}.", "Choose another file."
        ) from None


def convert(model: Model, folder: Path) -> None:
    """Write `payload` in a folder. Runs in the child: it needs TensorFlow, or what the network's file needs."""
    if model.architecture == "file":
        from fruitscale.model.own_export import convert_file

        (folder / "payload").write_bytes(convert_file(model, folder).payload)
        return
    from fruitscale.model import network

    keras_model, sha256 = network.features(model)
    header = backbone.PayloadHeader(
        architecture=model.architecture,
        weights=_word(model),
        weights_sha256=sha256,
        pretrained=model.weights != "random",
        runtime=model.runtime,
        input_size=model.input_size,
        features=architectures.NETWORKS[model.architecture].features,
    )
    graph = network.frozen(keras_model, [None, model.input_size, model.input_size, 3])
    files = {"model.pb": graph} if model.runtime == "tensorflow" else to_openvino(graph, folder)
    (folder / "payload").write_bytes(backbone.pack(header, files))


def patch_mean(model: Model) -> bytes:
    """Return the payload of patch_mean: a header without files, since it has no weights."""
    header = backbone.PayloadHeader(
        architecture=model.architecture,
        weights="none",
        weights_sha256=weights.NO_WEIGHTS_SHA256,
        pretrained=False,
        runtime="numpy",
        input_size=model.input_size,
        features=PATCH_GRID * PATCH_GRID * 3,
    )
    return backbone.pack(header, {})


def to_openvino(graph: bytes, folder: Path) -> dict[str, bytes]:
    """Convert a frozen graph, in float32, through files in a folder. Returns the files of a payload."""
    source = folder / "model.pb"
    source.write_bytes(graph)
    return backbone.saved(backbone.import_openvino().convert_model(str(source)), folder)


def _make(model: Model, scratch: Path | None) -> ExportedModel:
    with ScratchFolder("export", scratch) as folder:
        keras_process.run("export", model, folder)
        payload = (folder / "payload").read_bytes()
    return from_payload(payload, model)


def from_payload(payload: bytes, model: Model | None = None) -> ExportedModel:
    """Return the model of a payload. Raises ModelError if it is damaged."""
    header, _ = backbone.unpack(payload)
    fields: dict[str, Any] = dict(vars(header))
    if model is not None:
        fields["weights"] = (model.file or header.weights) if model.architecture == "file" else model.weights
    return ExportedModel(payload=payload, sha256=hashlib.sha256(payload).hexdigest(), **fields)


def _word(model: Model) -> str:
    """Return how a payload names its weights. Not by file name: the same weights elsewhere are the same model."""
    return model.weights if model.weights in ("imagenet", "packaged", "random") else "file"


def _key(model: Model, found: weights.Weights) -> str | None:
    """Return the name of a model in the cache, or None while its weights are unknown."""
    if found.key is None:
        return None
    own = model.architecture == "file"
    libraries = [*(own_file.libraries(model) if own else ("tensorflow", "keras"))]
    libraries += ["openvino"] if model.runtime == "openvino" else []
    parts: list[object] = [FORMAT, __version__, found.key, model.input_size, model.runtime]
    parts += preprocess.described(model) if own else ()
    parts += [f"{library} {installed_version(library) or '-'}" for library in libraries]
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
    return f"{model.architecture}-{model.runtime}-{model.input_size}-{digest[:32]}.model"


def _folders(scratch: Path | None) -> Iterator[Path]:
    yield cache_folder()
    if scratch is not None:
        yield scratch


def _read_cached(path: Path, model: Model) -> ExportedModel | None:
    """Return the cached model, or None if there is none or it is damaged."""
    try:
        exported = from_payload(path.read_bytes(), model)
    except (OSError, ModelError):
        return None
    return None if differing(exported, model) else exported


def _keep(exported: ExportedModel, key: str | None, folders: list[Path]) -> None:
    """Cache a model in the first writable folder, if there is one."""
    for folder in folders if key is not None else ():
        assert key is not None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(exported.payload, folder / key)
        except OSError:
            continue
        return


def _write(content: bytes, path: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
