"""Networks that come as files: the same features as in their own runtime, and nothing that carries code is executed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from fruitscale.config.schema import Model
from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.kernels import backbone
from fruitscale.model import check, exported_model, own_export, own_file
from fruitscale.model.file_formats import onnx_file
from tests.contract import own_networks as nets

SIZE = 32
MEAN, SCALE = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)


def own(file: Path, **settings: Any) -> Model:
    return Model.model_validate({"architecture": "file", "file": str(file), "input_size": SIZE, **settings})


def converted(model: Model, folder: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    payload = own_export.convert_file(model, folder).payload
    return backbone.load(payload).infer


def distance(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks in ONNX and in OpenVINO's format."""
    folder = tmp_path_factory.mktemp("networks")
    openvino = backbone.import_openvino()
    for name, model in {"cnn": nets.cnn(), "vit": nets.vit()}.items():
        nets.save(model, folder / f"{name}.onnx")
        openvino.save_model(
            openvino.convert_model(str(folder / f"{name}.onnx")), str(folder / f"{name}.xml"), compress_to_fp16=False
        )
    return folder


def runtime(path: Path, output: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an output of ONNX Runtime for pixels prepared as torchvision does."""
    proto = onnx.load(path)
    if output not in [one.name for one in proto.graph.output]:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    values = ((pixels.astype(np.float32) - MEAN) / SCALE).transpose(0, 3, 1, 2)
    return np.concatenate([session.run([output], {"pixel_values": one[None]})[0] for one in values])


@pytest.mark.parametrize("suffix", ["onnx", "xml"])
@pytest.mark.parametrize(
    ("name", "node", "pooling", "features", "l2"),
    [
        ("cnn", "logits", "none", 5, False),
        ("cnn", "pooled", "none", 32, False),
        ("cnn", "maps", "avg", 32, True),
        ("vit", "pooler_output", "none", nets.WIDTH, False),
        ("vit", "last_hidden_state", "cls", nets.WIDTH, True),
        ("vit", "last_hidden_state", "avg", nets.WIDTH, False),
    ],
)
def test_features_are_those_of_onnx_runtime(
    folder: Path, tmp_path: Path, name: str, suffix: str, node: str, pooling: str, features: int, l2: bool
) -> None:
    pixels = own_export.pictures(SIZE)
    theirs = runtime(folder / f"{name}.onnx", node, pixels)
    if pooling == "cls":
        theirs = theirs[:, 0]
    elif pooling == "avg":
        theirs = theirs.mean(axis=1) if theirs.ndim == 3 else theirs.mean(axis=(2, 3))
    theirs = theirs.reshape(len(pixels), -1)
    if l2:
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    output = {"node": node, "pooling": pooling, "l2": l2}
    infer = converted(own(folder / f"{name}.{suffix}", preprocess={"preset": "imagenet"}, output=output), tmp_path)
    ours = infer(pixels)
    assert ours.shape == (10, features)
    assert distance(ours, theirs) < 1e-5
    assert float(np.ptp(theirs, 0).max()) > 1e-3, "pictures that can't be distinguished prove nothing"


@pytest.mark.parametrize(
    ("settings", "prepare"),
    [
        ({}, lambda x: x),
        ({"channels": "bgr"}, lambda x: x[..., ::-1]),
        ({"preset": "inception"}, lambda x: (x - 127.5) / 127.5),
        ({"preset": "imagenet", "channels": "bgr"}, lambda x: ((x - MEAN) / SCALE)[..., ::-1]),
        ({"mean": [1, 2, 3], "scale": [4, 5, 6]}, lambda x: (x - np.array([1, 2, 3])) / np.array([4, 5, 6])),
        ({"preset": "clip", "mean": [0, 0, 0], "scale": [255, 255, 255]}, lambda x: x / 255),
    ],
)
def test_pixels_are_prepared_as_configured(
    folder: Path, tmp_path: Path, settings: dict[str, Any], prepare: Callable[[Any], Any]
) -> None:
    pixels = own_export.pictures(SIZE)
    session = onnxruntime.InferenceSession(str(folder / "cnn.onnx"), providers=["CPUExecutionProvider"])
    values = np.ascontiguousarray(prepare(pixels.astype(np.float32)).transpose(0, 3, 1, 2), np.float32)
    theirs = session.run(None, {"pixel_values": values})[0]
    assert distance(converted(own(folder / "cnn.onnx", preprocess=settings), tmp_path)(pixels), theirs) < 1e-5


def test_the_same_file_gives_the_same_bytes_and_every_setting_counts(folder: Path, tmp_path: Path) -> None:
    def payload(**settings: Any) -> bytes:
        return own_export.convert_file(own(folder / "cnn.onnx", **settings), tmp_path).payload

    assert payload() == payload()
    others: list[dict[str, Any]] = [
        {"preprocess": {"preset": "imagenet"}},
        {"preprocess": {"resize": "crop"}},  # the graph is the same
        {"output": {"node": "pooled"}},
        {"output": {"l2": True}},
        {"input_size": 64},
    ]
    assert len({payload(), *(payload(**other) for other in others)}) == len(others) + 1
    header, _ = backbone.unpack(payload(preprocess={"preset": "dinov2"}))
    assert json.loads(header.preprocess)["keep"] == 0.875
    assert header.weights_sha256 == own_file.identify(own(folder / "cnn.onnx")).sha256


def test_places_are_averaged_wherever_the_channels_are(tmp_path: Path) -> None:
    path = nets.save(nets.channels_last(), tmp_path / "last.onnx")
    pixels = own_export.pictures(SIZE)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = session.run(["last"], {"pixel_values": pixels.astype(np.float32)})[0].mean(axis=(1, 2))
    for node in ("last", "maps"):
        ours = converted(own(path, output={"node": node, "pooling": "avg"}), tmp_path)(pixels)
        assert distance(ours, theirs) < 1e-5
    with pytest.raises(ModelError, match="the same for every photo"):
        own_export.convert_file(own(path, output={"node": "constant"}), tmp_path)


def test_weights_beside_the_file_are_part_of_its_hash(tmp_path: Path) -> None:
    path = nets.save_external(nets.cnn(), tmp_path / "cnn.onnx", "weights.data")
    first = own_file.identify(own(path))
    assert first.files == (path, tmp_path / "weights.data")
    assert converted(own(path, output={"node": "pooled"}), tmp_path)(own_export.pictures(SIZE)).shape == (10, 32)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in first.files:
        shutil.copy(file, moved / file.name)
    assert own_file.identify(own(moved / "cnn.onnx")).sha256 == first.sha256
    data = bytearray((tmp_path / "weights.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "weights.data").write_bytes(data)
    assert own_file.identify(own(path)).sha256 != first.sha256


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _two_sizes(folder: Path) -> Path:
    return nets.save(nets.cnn(size=64), folder / "64.onnx")


def _external(location: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        inner = folder / "inner"
        inner.mkdir()
        path = nets.save_external(nets.cnn(), inner / "cnn.onnx", location.format(folder))
        shutil.move(inner / "weights.data", folder / "weights.data")
        if location == "link":
            (inner / "link").symlink_to(folder / "weights.data")
        return path

    return make


def _cut_weights(folder: Path) -> Path:
    path = nets.save_external(nets.cnn(), folder / "cnn.onnx", "weights.data")
    (folder / "weights.data").write_bytes((folder / "weights.data").read_bytes()[:-5])
    return path


def _cut_ir(part: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        openvino, path = backbone.import_openvino(), folder / "cnn.xml"
        openvino.save_model(openvino.convert_model(str(nets.save(nets.cnn(), folder / "cnn.onnx"))), str(path))
        cut = path.with_suffix(part)
        cut.write_bytes(cut.read_bytes()[:900])
        return path

    return make


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "custom-operator": (
        lambda f: nets.save(nets.custom_operator(), f / "n.onnx"),
        "custom operators.*my.company.FancyRelu",
    ),
    "parent-folder": (_external("../weights.data"), "outside its folder"),
    "absolute": (_external("{}/weights.data"), "outside its folder"),
    "link": (_external("link"), "outside its folder"),
    "missing-weights": (_external("weights.data"), "is missing"),
    "cut-weights": (_cut_weights, "is truncated"),
    "text": (lambda f: nets.save(nets.text_encoder(), f / "n.onnx"), "does not take photos: its input input_ids"),
    "text-and-photos": (
        lambda f: nets.save(nets.text_encoder(with_photos=True), f / "n.onnx"),
        "2 inputs: input_ids .*pixel_values",
    ),
    "cut": (lambda f: _write(f / "n.onnx", nets.cnn().SerializeToString()[:3000]), "can't be read as ONNX"),
    "empty": (lambda f: _write(f / "n.onnx", b""), "can't be read as ONNX"),
    "noise": (lambda f: _write(f / "n.onnx", bytes(range(256)) * 9), "can't be read as ONNX"),
    "cut-xml": (_cut_ir(".xml"), "can't be read as OpenVINO IR"),
    "cut-bin": (_cut_ir(".bin"), "can't be read as OpenVINO IR"),
    "no-bin": (lambda f: _write(f / "n.xml", b"<net/>"), "has no n.bin beside it"),
    "pickle": (lambda f: _write(f / "n.pt", b"x"), "only formats that can't execute code"),
    "no-saved-model": (lambda f: f, "without a saved_model.pb"),
    "nothing": (lambda f: f / "n.onnx", "There is no network"),
    "another-size": (_two_sizes, "takes photos of 64 × 64 pixels, not 32"),
    "another-vit-size": (lambda f: nets.save(nets.vit(64), f / "n.onnx"), "2 outputs|can't take one photo of 32"),
    "fifo": (lambda f: _fifo(f / "n.onnx"), "not a regular file"),
}


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_network_of_photos_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        own_export.convert_file(own(make(tmp_path)), tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vit", {}, "2 outputs: last_hidden_state .1 × 17 × 12., pooler_output"),
        ("vit", {"output": {"node": "last_hidden_state"}}, "more than one vector per photo"),
        ("cnn", {"output": {"node": "maps"}}, "more than one vector per photo"),
        ("cnn", {"output": {"pooling": "avg"}}, "is one vector already"),
        ("cnn", {"output": {"pooling": "cls"}}, "has no tokens"),
        ("cnn", {"output": {"node": "poled"}}, "no output or node poled; its outputs are logits"),
        ("cnn", {"preprocess": {"layout": "nhwc"}}, "does not take photos of 3 channels in the layout nhwc"),
        ("vit", {"input_size": 64, "output": {"node": "pooler_output"}}, "can't take one photo of 64 pixels"),
    ],
)
def test_settings_that_do_not_fit_the_network_are_named(
    folder: Path, tmp_path: Path, name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        own_export.convert_file(own(folder / f"{name}.onnx", **settings), tmp_path)


def test_a_conversion_that_computes_something_else_is_refused_with_the_figure(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is the file's own runtime: here it runs another network, as a wrong conversion would."""
    other = nets.save(nets.cnn(), tmp_path / "other.onnx")
    proto = onnx.load(other)
    proto.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(proto.graph.initializer[0]) * np.float32(1.01), "w0")
    )
    monkeypatch.setattr(onnx_file, "_runtime", _of(onnx_file._runtime, proto))
    with pytest.raises(ModelError, match=r"differ by up to 0\.0\d+ \(relative\), and 0.001 is allowed"):
        own_export.convert_file(own(folder / "cnn.onnx", output={"node": "pooled"}), tmp_path)


def _of(runtime: Any, proto: Any) -> Any:
    return lambda _proto, path, tensor, external: runtime(proto, path, tensor, external)


def test_without_its_libraries_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"fruitscale\[onnx\]"):
        exported_model.export(own(folder / "cnn.onnx"))
    keras = folder / "empty.keras"
    keras.touch()
    with pytest.raises(MissingExtraError, match=r"fruitscale\[tensorflow\]"):
        exported_model.export(own(keras))


def test_an_export_is_cached_and_checked_in_a_child(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = own(folder / "cnn.onnx")
    assert not exported_model.is_cached(model)
    exported = exported_model.export(model)
    assert exported_model.is_cached(model)
    assert (exported.features, exported.crop, exported.weights) == (5, None, model.file)
    assert not exported_model.is_cached(own(folder / "cnn.onnx", preprocess={"preset": "clip"}))
    path = tmp_path / "mine.model"
    exported_model.write(exported, path)
    elsewhere = Model(architecture="file", exported=str(path), input_size=SIZE)  # a machine without the file
    assert exported_model.export(elsewhere).payload == exported.payload
    with pytest.raises(ModelError, match=r"has preprocess .* is configured"):
        exported_model.read(path, own(folder / "cnn.onnx", preprocess={"preset": "clip"}))
    recognised = check.check(model)
    assert (recognised.features, recognised.runtime) == (5, "ONNX Runtime")
    assert recognised.distance is not None
    assert recognised.distance < 1e-5
    assert {guess.name for photo in recognised.photos for guess in photo.guesses} == set(nets.LABELS)
    assert recognised.photos[0].guesses[0].probability > 0.2


KERAS = """
import json, os, shutil, sys, warnings
import numpy as np
from pathlib import Path
import keras, tensorflow as tf
from fruitscale.config.schema import Model
from fruitscale.errors import FruitscaleError
from fruitscale.kernels import backbone
from fruitscale.model import own_export
warnings.simplefilter("ignore")
keras.utils.set_random_seed(1)
folder, flag = Path(sys.argv[1]), Path(sys.argv[1]) / "executed"
pixels = own_export.pictures(32)
answers = {}
def attempt(key, name, oracle=None, **settings):
    model = Model(architecture="file", file=str(folder / name), input_size=32, **settings)
    try:
        payload = own_export.convert_file(model, folder).payload
    except FruitscaleError as error:
        answers[key] = error.message
        return
    ours = backbone.load(payload).infer(pixels)
    answers[key] = float(np.linalg.norm(ours - oracle) / np.linalg.norm(oracle))
def cnn():
    photo = keras.Input((32, 32, 3), name="photo")
    x = keras.layers.Conv2D(16, 3, 2, "same", activation="relu")(photo)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(32, 3, 2, "same", activation="relu", name="maps")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(photo, keras.layers.Dense(5, name="logits")(x))
def vit():
    photo = keras.Input((32, 32, 3))
    x = keras.layers.Reshape((-1, 12))(keras.layers.Conv2D(12, 8, 8)(photo))
    x = x + keras.layers.Embedding(16, 12)(keras.ops.arange(16))
    x = x + keras.layers.MultiHeadAttention(2, 6)(x, x)
    return keras.Model(photo, keras.layers.LayerNormalization()(x))
values = (pixels.astype(np.float32) - 127.5) / 127.5
scaled = {"preprocess": {"preset": "inception"}}
network = cnn()
oracle = network.predict(values, verbose=0)
network.save(folder / "cnn.keras")
attempt("cnn.keras", "cnn.keras", oracle, **scaled)
"""
MORE_KERAS = """
pooled = keras.Model(network.inputs, network.get_layer("pooled").output).predict(values, verbose=0)
attempt("layer", "cnn.keras", pooled, output={"node": "pooled"}, **scaled)
attempt("maps", "cnn.keras", pooled, output={"node": "maps", "pooling": "avg"}, **scaled)
network.export(folder / "cnn_saved", verbose=False)
attempt("cnn SavedModel", "cnn_saved", oracle, **scaled)
network = vit()
tokens = network.predict(values, verbose=0)
network.save(folder / "vit.keras")
network.export(folder / "vit_saved", verbose=False)
for name in ("vit.keras", "vit_saved"):
    attempt(name + " avg", name, tokens.mean(1), output={"pooling": "avg"}, **scaled)
    attempt(name + " cls", name, tokens[:, 0], output={"pooling": "cls"}, **scaled)
words = keras.Input((8,), dtype="int32")
keras.Model(words, keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 4)(words))).save(folder / "text.keras")
touch = lambda x: [x, __import__("pathlib").Path("FLAG").touch()][0]
photo = keras.Input((32, 32, 3))
keras.Model(photo, keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(touch)(photo))).save(folder / "lambda.keras")
@keras.saving.register_keras_serializable("mine")
class Mine(keras.layers.Layer):
    def call(self, x):
        return touch(x)
keras.Model(photo, keras.layers.GlobalAveragePooling2D()(Mine()(photo))).save(folder / "custom.keras")
def saved(name, body):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, name="x")])
        def __call__(self, x):
            return {"out": tf.reduce_mean(body(x), [1, 2])}
    module = Module()
    tf.saved_model.save(module, str(folder / name), signatures=module.__call__)
def python(x):
    y = tf.numpy_function(touch, [x], tf.float32)
    y.set_shape(x.shape)
    return y
def writes(x):
    tf.io.write_file("FLAG", "x")
    return x
saved("python_saved", python)
saved("file_saved", writes)
(folder / "cut.keras").write_bytes((folder / "cnn.keras").read_bytes()[:9000])
for name, part in (("cut_saved", "saved_model.pb"), ("cut_variables", "variables/variables.data-00000-of-00001")):
    shutil.copytree(folder / "cnn_saved", folder / name)
    content = (folder / name / part).read_bytes()
    (folder / name / part).write_bytes(content[: len(content) // 2])
flag.unlink(missing_ok=True)
for name in NAMES:
    attempt(name, name)
answers["executed"] = flag.exists()
"""
ANSWER = '(folder / "answers.json").write_text(json.dumps(answers))'
REFUSED_BY_KERAS = {
    "text.keras": "does not take photos",
    "lambda.keras": "layers with code of their own.*Lambda",
    "custom.keras": "layers with code of their own.*Mine",
    "python_saved": "run code or open files.*PyFunc",
    "file_saved": "run code or open files.*WriteFile",
    "cut.keras": "can't be read as a Keras model",
    "cut_saved": "can't be read as a SavedModel",
    "cut_variables": "can't be read as a SavedModel",
}
EXACT = (
    "layer",
    "maps",
    "cnn SavedModel",
    *(f"{name} {how}" for name in ("vit.keras", "vit_saved") for how in ("avg", "cls")),
)


def in_child(script: str, folder: Path) -> dict[str, Any]:
    """Run a script that needs TensorFlow in a child; return its answers."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    code = (script + ANSWER).replace("FLAG", str(folder / "executed")).replace("NAMES", str([*REFUSED_BY_KERAS]))
    child = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    answers: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    return answers


def test_a_keras_file_gives_the_features_of_keras(tmp_path: Path) -> None:
    assert in_child(KERAS, tmp_path)["cnn.keras"] < 1e-5


@pytest.fixture(scope="module")
def of_keras(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_child(KERAS + MORE_KERAS, tmp_path_factory.mktemp("keras"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_keras_and_saved_models_give_the_features_of_keras(of_keras: dict[str, Any], name: str) -> None:
    assert of_keras[name] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "message"), REFUSED_BY_KERAS.items())
def test_keras_and_saved_models_with_code_are_refused_and_not_executed(
    of_keras: dict[str, Any], name: str, message: str
) -> None:
    assert re.search(message, str(of_keras[name])), of_keras[name]
    assert of_keras["executed"] is False
