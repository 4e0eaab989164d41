"""Weights are found without TensorFlow, and a file is read without executing what is in it."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fruitscale.config.schema import Model
from fruitscale.errors import ModelError
from fruitscale.model import weights
from fruitscale.model.check import class_names
from fruitscale.model.pickle_internals import LimitedUnpickler

PACKAGED = Model(architecture="efficientnet_lite0", weights="packaged")


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def legacy(tensors: object, keys: list[str] | None = None, data: bytes = b"") -> bytes:
    """Write what torch.save wrote before it used ZIP files."""
    parts = (weights.TORCH_MAGIC, weights.TORCH_PROTOCOL, {"little_endian": True}, tensors, keys or [])
    return b"".join(pickle.dumps(part, protocol=2) for part in parts) + data


def tensor_pickle(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], n: int) -> bytes:
    """Write one tensor `w` over a storage of n floats 0, 1, 2, … as PyTorch names things."""

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    def tuple_of(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    pid = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("k") + text("cpu") + number(n) + b"Nt"
    args = b"(" + pid + b"Q" + number(offset) + tuple_of(shape) + tuple_of(strides) + b"\x89N" + b"t"
    tensors = b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + args + b"Rs."
    head = b"".join(pickle.dumps(p, 2) for p in (weights.TORCH_MAGIC, weights.TORCH_PROTOCOL, {"little_endian": True}))
    storage = n.to_bytes(8, "little") + np.arange(n, dtype="<f4").tobytes()
    return head + tensors + pickle.dumps(["k"], 2) + storage


def test_the_packaged_weights_are_those_of_efficientnet_lite0() -> None:
    found = weights.resolve(PACKAGED)
    assert found.path is not None
    arrays = weights.read_torch(found.path)
    assert found.sha256 is not None
    assert found.sha256.startswith("57934424")
    assert found.pretrained
    assert arrays["_fc.weight"].shape == (1000, 1280)
    assert arrays["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_strides_are_honoured(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(tensor_pickle(1, (2, 3), (1, 2), 8))
    assert weights.read_torch(path)["w"].tolist() == [[1, 3, 5], [2, 4, 6]]


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (9,), (1,)), (0, (9,), (0,)), (7, (2,), (1,)), (0, (2,), (8,)), (0, (2,), (-1,)), (-1, (1,), (1,))],
)
def test_a_tensor_beyond_its_data_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(tensor_pickle(offset, shape, strides, 8))
    with pytest.raises(ModelError, match="beyond"):
        weights.read_torch(path)


@pytest.mark.parametrize(
    "content",
    [b"\x80\x02Nr" + (2**28).to_bytes(4, "little") + b".", b"\x80\x05\x96" + (2**31).to_bytes(8, "little") + b"."],
    ids=["the 2^28th thing to keep", "an array of 2 GB"],
)
def test_a_small_file_cannot_fill_the_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="not loaded"):
            weights.read_torch(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("where", ["magic", "tensors", "plain"])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path: Path, where: str) -> None:
    flag = tmp_path / "executed"
    evil = Calls(Path.touch, flag)
    path = tmp_path / "evil.pth"
    path.write_bytes(legacy(OrderedDict(w=evil)) if where == "tensors" else pickle.dumps(evil, protocol=2))
    if where == "plain":
        path.write_bytes(pickle.dumps(Calls(eval, f"open({str(flag)!r}, 'w')"), protocol=4))
    with pytest.raises(ModelError, match="not loaded: it refers to"):
        weights.read_torch(path)
    assert not flag.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", legacy([1]), legacy({"w": 1}), pickle.dumps(1)])
def test_what_is_not_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a file of plain weights"):
        weights.read_torch(path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(tensor_pickle(0, (8,), (1,), 8)[:-3])
    with pytest.raises(ModelError, match="truncated"):
        weights.read_torch(path)


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        (Model(weights="packaged"), "model.architecture=efficientnet_lite0"),
        (Model(architecture="efficientnet_lite0"), "model.weights=packaged"),
        (Model(weights="/nowhere/mine.weights.h5"), "/nowhere/mine.weights.h5"),
        (Model(weights="s3://bucket/mine.weights.h5"), "Copy the file here"),
    ],
)
def test_the_error_for_unavailable_weights_names_the_remedy(model: Model, remedy: str) -> None:
    with pytest.raises(ModelError) as caught:
        weights.resolve(model)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("m.keras", b"PK\x03\x04"), ("m.h5", pickle.dumps({})), ("m.weights.h5", b""), ("m.pth", weights.HDF5_MAGIC)],
)
def test_only_hdf5_weights_are_taken(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"not an \.h5 weights file"):
        weights.resolve(Model(weights=str(path)))


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("a.h5", "b.weights.h5"):
        (tmp_path / name).write_bytes(weights.HDF5_MAGIC + b"x")
    a, b = (weights.resolve(Model(weights=str(tmp_path / name))) for name in ("a.h5", "b.weights.h5"))
    assert a.key == b.key
    assert a.kind == "file"


def test_random_weights_are_known_by_their_seed() -> None:
    keys = {weights.resolve(Model(weights="random", seed=seed)).key for seed in (0, 1)}
    assert len(keys) == 2
    assert not weights.resolve(Model(weights="random")).pretrained


def test_imagenet_is_found_where_keras_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert weights.resolve(Model()).key is None
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    file.write_bytes(b"weights")
    found = weights.resolve(Model(input_size=100))  # Keras takes those of 224 for sizes it has none of
    assert found.path == file
    assert found.sha256 == weights.file_sha256(file)
    assert weights.resolve(Model(input_size=96)).key is None


def test_looking_up_imports_no_tensorflow() -> None:
    code = (
        "import sys; from fruitscale.config.schema import Model; from fruitscale.model import exported_model\n"
        "exported_model.is_cached(Model(architecture='efficientnet_lite0', weights='packaged'))\n"
        "assert not {'tensorflow', 'keras', 'openvino', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_there_are_a_thousand_class_names_in_order() -> None:
    names = class_names()
    assert len(names) == 1000
    assert (names[0], names[698], names[948], names[967], names[999]) == (
        "tench",
        "palace",
        "Granny Smith",
        "espresso",
        "toilet tissue",
    )


def test_arrays_hash_by_name_shape_and_content() -> None:
    zeros = np.zeros((2, 3), np.float32)
    hashes = {
        weights.arrays_sha256([("a", zeros)]),
        weights.arrays_sha256([("b", zeros)]),
        weights.arrays_sha256([("a", zeros.T)]),
        weights.arrays_sha256([("a", zeros + 1)]),
    }
    assert len(hashes) == 4
    assert weights.arrays_sha256([("a", zeros)]) in hashes


def test_the_unpickler_reads_nothing_from_disk() -> None:
    with pytest.raises(pickle.UnpicklingError, match="posix"):
        LimitedUnpickler(io.BytesIO(b"cposix\nsystem\n."), weights.TORCH_NAMES, lambda pid: None).load()
