"""The networks are Keras' own, whatever runs them, and nothing is loaded, sent or made up that should not be.

TensorFlow stays out of pytest's process: each script is one child, which answers in JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fruitscale.config.keras_names import KerasName
from fruitscale.config.schema import CHOICES, Model
from fruitscale.errors import ModelError
from fruitscale.kernels import backbone, cpu_kind
from fruitscale.model import exported_model

PACKAGED = Model(architecture="efficientnet_lite0", weights="packaged", input_size=96)
SETUP = """
import json, os, sys
import numpy as np
from pathlib import Path
from fruitscale.config.schema import Model
from fruitscale.errors import FruitscaleError
from fruitscale.kernels import backbone, cpu_kind
from fruitscale.model import architectures, check, exported_model, network, weights
folder = Path(sys.argv[1])
answers = {}
def distance(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
def answer():
    (folder / "answers.json").write_text(json.dumps(answers))
"""

ORACLE = """
def compare(name, model):
    keras_model, _ = network.features(model)
    size = model.input_size
    if model.weights == "random" and model.architecture.startswith("efficientnet_v2"):
        for variable in keras_model.weights:  # as they are, one grey level of one pixel changes the features by 8 %
            if variable.name.endswith("kernel"):
                variable.assign(variable.numpy() * 0.7)
    smooth = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)  # more like a photo than noise
    pixels = smooth.repeat(size // 4, 1).repeat(size // 4, 2)
    oracle = keras_model.predict(pixels, verbose=0)
    graph = network.frozen(keras_model, [None, size, size, 3])
    files = {"tensorflow": {"model.pb": graph}, "openvino": exported_model.to_openvino(graph, folder)}
    features = architectures.NETWORKS[model.architecture].features
    answers[name] = {"shape": oracle.shape[1] == features, "spread": float(np.ptp(oracle, 0).max())}
    for runtime, content in files.items():
        header = backbone.PayloadHeader(model.architecture, "random", "", False, runtime, size, features)
        got = backbone.load(backbone.pack(header, content)).infer(pixels)
        answers[name][runtime] = distance(got, oracle)
def compare_random(*names):
    for name in names:
        compare(name, Model(architecture=name, weights="random", input_size=96))
"""
PACKAGED_ORACLE = """
compare_random("mobilenet_v2")
packaged = Model(architecture="efficientnet_lite0", weights="packaged")
compare("packaged", packaged)
import skimage.data
from sklearn.datasets import load_sample_image
classifier, _ = network.classifier(packaged)
answers["recognised"] = {
    name: [guess.name for guess in check.guesses(classifier, photo)]
    for name, photo in {"coffee": skimage.data.coffee(), "china": load_sample_image("china.jpg")}.items()
}
answer()
"""
OTHERS = [
    "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_v2_b0", "resnet50", "efficientnet_lite0", "mobilenet",
    "efficientnet_b0", "efficientnet_v2_b1", "resnet50_v2", "densenet121", "convnext_tiny", "inception_v3",
    "inception_resnet_v2", "xception", "nasnet_mobile", "vgg16",
]  # fmt: skip
"""One network of each family, and those with paths of their own."""

FILES = """
import h5py, keras
from keras.src.legacy.saving import legacy_h5_format
def attempt(name, **model):
    try:
        settings = Model(**{"architecture": "mobilenet_v3_small", "input_size": 32, "weights": str(folder / name), **model})
        keras_model, sha256 = network.features(settings)
        ours = keras_model.predict(pixels, verbose=0)
        answers[name] = {"distance": distance(ours, oracle), "sha256": sha256 == weights.file_sha256(folder / name)}
    except FruitscaleError as error:
        answers[name] = {"error": str(error)}
pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
build = architectures.NETWORKS["mobilenet_v3_small"].build
whole = build(32, True, None)
network._randomize(whole, 7)
base = build(32, False, None)
for layer in filter(lambda layer: layer.weights, base.layers):
    layer.set_weights(whole.get_layer(layer.name).get_weights())
oracle = base.predict(pixels.astype("float32"), verbose=0)
base.save_weights(folder / "base.weights.h5")
whole.save_weights(folder / "whole.weights.h5")
for name, model in {"base.h5": base, "whole.h5": whole}.items():
    with h5py.File(folder / name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
build = architectures.NETWORKS["mobilenet_v2"].build
build(32, False, None).save_weights(folder / "other.weights.h5")
flag = folder / "executed"
inputs = keras.Input((4,))
evil = keras.Model(inputs, keras.layers.Lambda(lambda x: [x, __import__("pathlib").Path("FLAG").touch()][0])(inputs))
flag.unlink(missing_ok=True)
import warnings
warnings.simplefilter("ignore")
evil.save(folder / "evil.h5")
evil.save(folder / "evil.keras")
(folder / "evil2.weights.h5").write_bytes((folder / "evil.h5").read_bytes())
(folder / "cut.weights.h5").write_bytes((folder / "base.weights.h5").read_bytes()[:5000])
flag.unlink(missing_ok=True)
loadable = ("base.weights.h5", "whole.weights.h5", "base.h5", "whole.h5", "other.weights.h5")
for name in (*loadable, "evil.h5", "evil.keras", "evil2.weights.h5", "cut.weights.h5"):
    attempt(name)
answers["executed"] = flag.exists()
try:
    network.classifier(Model(architecture="mobilenet_v3_small", weights=str(folder / "base.weights.h5")))
except FruitscaleError as error:
    answers["headless"] = str(error)
answers["names"] = {}
from keras.src.utils import file_utils
class Requested(Exception):
    pass
def get_file(name, *args, **kwargs):
    raise Requested(name)
file_utils.get_file = get_file
def request(name):
    known = architectures.NETWORKS[name]
    for size, top in ((128, False), (known.head_size, True)):
        try:
            known.build(size, top, "imagenet")
        except Requested as requested:
            answers["names"][f"{name} {top}"] = [str(requested), known.imagenet_file(size, top)]
for name in ("mobilenet_v2", "mobilenet_v3_small", "mobilenet"):
    request(name)
answers["applications"] = sorted(name for name in dir(keras.applications) if name[0].isupper())
downloaded = folder / "efficientnetb0_notop.h5"
downloaded.write_bytes((folder / "base.h5").read_bytes())
attempt("efficientnetb0_notop.h5", architecture="efficientnet_b0")
answer()
"""


def run_child(script: str, folder: Path) -> dict[str, Any]:
    """Run a script in a child process; return its answers."""
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
    }
    code = SETUP + script.replace("FLAG", str(folder / "executed"))
    child = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr[-3000:]
    answers: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    return answers


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_child(ORACLE + PACKAGED_ORACLE, tmp_path_factory.mktemp("oracle"))


@pytest.fixture(scope="module")
def oracle_of_others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_child(f"{ORACLE}compare_random(*{OTHERS})\nanswer()", tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_child(FILES, tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("runtime", CHOICES["runtime"])
@pytest.mark.parametrize("name", ["mobilenet_v2", "packaged"])
def test_features_are_those_of_keras(oracle: dict[str, Any], name: str, runtime: str) -> None:
    assert oracle[name][runtime] < 1e-3
    assert oracle[name]["shape"]
    assert oracle[name]["spread"] > 1e-3, "photos that can't be distinguished prove nothing"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", CHOICES["runtime"])
@pytest.mark.parametrize("name", OTHERS)
def test_features_of_the_others_are_those_of_keras(oracle_of_others: dict[str, Any], name: str, runtime: str) -> None:
    test_features_are_those_of_keras(oracle_of_others, name, runtime)


def test_the_packaged_weights_see_what_is_there(oracle: dict[str, Any]) -> None:
    assert oracle["recognised"]["coffee"][0] == "espresso"
    assert "palace" in oracle["recognised"]["china"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base.weights.h5", "whole.weights.h5", "base.h5", "whole.h5"])
def test_a_weights_file_is_loaded_with_or_without_a_head(files: dict[str, Any], name: str) -> None:
    assert files[name].get("distance", files[name]) == pytest.approx(0, abs=1e-5)
    assert files[name]["sha256"]


def test_weights_of_another_architecture_are_named(files: dict[str, Any]) -> None:
    assert "other.weights.h5 don't fit mobilenet_v3_small" in files["other.weights.h5"]["error"]


@pytest.mark.parametrize("name", ["evil.h5", "evil.keras", "evil2.weights.h5"])
def test_a_model_with_code_in_it_is_refused_and_not_executed(files: dict[str, Any], name: str) -> None:
    assert "can carry code" in files[name]["error"]
    assert name in files[name]["error"]
    assert not files["executed"]


def test_a_cut_off_weights_file_is_named(files: dict[str, Any]) -> None:
    assert "cut.weights.h5 can't be read" in files["cut.weights.h5"]["error"]


def test_a_check_of_weights_without_a_head_says_so(files: dict[str, Any]) -> None:
    assert "no ImageNet head" in files["headless"]


def test_imagenet_files_have_the_names_that_keras_gives_them(files: dict[str, Any]) -> None:
    assert len(files["names"]) == 6
    for theirs, ours in files["names"].values():
        assert theirs == ours


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OTHERS if name != "efficientnet_lite0"])
def test_imagenet_files_of_the_others_have_the_names_that_keras_gives_them(tmp_path: Path, name: str) -> None:
    start, end = FILES.index("from keras.src.utils"), FILES.index('for name in ("mobilenet_v2"')
    script = f'answers["names"] = {{}}\n{FILES[start:end]}request({name!r})\nanswer()'
    names = run_child(script, tmp_path)["names"]
    assert len(names) == 2
    for theirs, ours in names.values():
        assert theirs == ours


def test_every_network_of_keras_applications_has_a_name(files: dict[str, Any]) -> None:
    ours = [name.replace("_", "") for name in typing.get_args(KerasName)]
    assert sorted(name.lower() for name in files["applications"]) == sorted(ours)


def test_a_file_that_keras_reads_with_another_scaling_is_refused(files: dict[str, Any]) -> None:
    assert "need the scaling that Keras adds for imagenet" in files["efficientnetb0_notop.h5"]["error"]


def test_photos_too_small_for_a_network_are_refused() -> None:
    with pytest.raises(ModelError, match=r"inception_v3 needs photos of at least 75"):
        exported_model.export(Model(architecture="inception_v3", weights="random", input_size=64))


GUARD = """
import socket
def refuse(*args, **kwargs):
    with open(LOG, "a") as log:
        log.write(repr(args) + "\\n")
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], bool]:
    """Export twice, the cache emptied in between, the second time with every connection refused and noted."""
    folder = tmp_path_factory.mktemp("twice")
    (folder / "guard").mkdir()
    log = folder / "connections"
    (folder / "guard" / "sitecustomize.py").write_text(GUARD.replace("LOG", repr(str(log))))
    sums = []
    with pytest.MonkeyPatch.context() as patch:
        for turn in ("first", "second"):
            patch.setenv("XDG_CACHE_HOME", str(folder / turn))
            if turn == "second":
                patch.setenv("PYTHONPATH", str(folder / "guard"))
            made = exported_model.export(PACKAGED)
            sums.append(made.sha256)
    exported_model.write(made, folder / "made.model")
    return folder, sums, log.exists()


@pytest.mark.slow
def test_the_same_model_is_the_same_bytes(exported: tuple[Path, list[str], bool]) -> None:
    _, sums, _ = exported
    assert sums[0] == sums[1]


def test_an_export_sends_nothing(exported: tuple[Path, list[str], bool]) -> None:
    assert not exported[2]


def test_a_worker_needs_no_tensorflow_and_sends_nothing(exported: tuple[Path, list[str], bool]) -> None:
    folder = exported[0]
    code = (
        "import hashlib, sys; from pathlib import Path; import numpy as np; from fruitscale.kernels import backbone\n"
        f"payload = Path({str(folder / 'made.model')!r}).read_bytes()\n"
        "network, loaded = backbone.cached(hashlib.sha256(payload).hexdigest(), backbone.F32, lambda: payload)\n"
        "assert loaded and network.infer(np.zeros((2, 96, 96, 3), np.uint8)).shape == (2, 1280)\n"
        "assert 'socket' in sys.modules and not {'tensorflow', 'keras', 'fruitscale.model'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder / "guard")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not (folder / "connections").exists()


@pytest.mark.slow
def test_imagenet_without_a_network_names_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(ModelError) as caught:
        exported_model.export(Model(input_size=96))
    for remedy in ("imagenet", "model.architecture=efficientnet_lite0", "model.weights=packaged", "model.weights=PATH"):
        assert remedy in str(caught.value)
    assert not list(tmp_path.rglob("*.model"))


def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "from fruitscale.config.schema import Model; from fruitscale.model import exported_model\n"
        "exported_model.export(Model(weights='random', input_size=64))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while not (pids := children.read_text().split()):
        time.sleep(0.05)
    time.sleep(1.0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while any(_runs(int(pid)) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_runs(int(pid)) for pid in pids)
    assert list(tmp_path.iterdir()) == []


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_groups_of_photos_give_the_same_features(exported: tuple[Path, list[str], bool], precision: str) -> None:
    if precision == "bf16" and not cpu_kind.can_bf16():
        pytest.skip("this CPU can't compute in bf16")
    payload = (exported[0] / "made.model").read_bytes()
    pixels = np.random.default_rng(0).integers(0, 256, (7, 96, 96, 3), dtype=np.uint8)
    one, four = (backbone.load(payload, backbone.Execution(precision, group)).infer(pixels) for group in (1, 4))
    assert np.array_equal(one, four)
