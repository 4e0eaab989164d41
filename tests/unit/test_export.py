"""The cache of exported models: found, rebuilt when damaged, elsewhere when it can't be written, and never mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from fruitscale.config.schema import Model
from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.kernels import backbone
from fruitscale.model import exported_model, keras_process

MODEL = Model(weights="random", input_size=32)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Model]:
    """What was made; a stand-in makes it without TensorFlow."""
    models: list[Model] = []

    def run(job: str, model: Model, folder: Path) -> None:
        models.append(model)
        header = backbone.PayloadHeader(
            model.architecture, "random", f"seed {model.seed}", False, model.runtime, model.input_size, 1280
        )
        files = dict.fromkeys(backbone.FILES[model.runtime], b"network")
        (folder / "payload").write_bytes(backbone.pack(header, files))

    monkeypatch.setattr(keras_process, "run", run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return models


def test_a_model_is_made_once(made: list[Model]) -> None:
    assert not exported_model.is_cached(MODEL)
    first = exported_model.export(MODEL)
    assert exported_model.is_cached(MODEL)
    assert exported_model.export(MODEL) == first
    assert len(made) == 1
    assert (first.pretrained, first.weights, first.features) == (False, "random", 1280)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"input_size": 33}, {"runtime": "tensorflow"}, {"architecture": "resnet50"}]
)
def test_another_model_is_another_file(made: list[Model], change: dict[str, object]) -> None:
    exported_model.export(MODEL)
    exported_model.export(MODEL.model_copy(update=change))
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "swap"])
def test_a_damaged_file_is_made_again(made: list[Model], tmp_path: Path, damage: str) -> None:
    first = exported_model.export(MODEL)
    [file] = (tmp_path / "cache" / "fruitscale").iterdir()
    content = file.read_bytes()
    if damage == "swap":
        content = exported_model.export(Model(weights="random", input_size=64)).payload
    flipped = content[:50] + bytes([content[50] ^ 1]) + content[51:]
    file.write_bytes({"cut": content[:-5], "flip": flipped, "empty": b"", "swap": content}[damage])
    made.clear()
    assert not exported_model.is_cached(MODEL)
    assert exported_model.export(MODEL) == first
    assert len(made) == 1
    assert exported_model.is_cached(MODEL)


def test_without_a_writable_cache_the_scratch_folder_serves(
    made: list[Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # a file can't be a folder, for root neither
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    first = exported_model.export(MODEL, scratch)
    assert exported_model.export(MODEL, scratch) == first
    assert len(made) == 1
    assert len(list(scratch.iterdir())) == 1
    assert exported_model.export(MODEL) == first


def test_a_written_model_is_read_back(made: list[Model], tmp_path: Path) -> None:
    exported = exported_model.export(MODEL)
    path = tmp_path / "mine.model"
    exported_model.write(exported, path)
    assert exported_model.read(path) == exported
    assert exported_model.export(MODEL.model_copy(update={"exported": str(path)})) == exported
    assert list(tmp_path.glob(".mine*")) == []


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"architecture": "resnet50"}, "model.architecture=mobilenet_v2"),
        ({"input_size": 224}, "model.input_size=32"),
        ({"runtime": "tensorflow"}, "model.runtime=openvino"),
    ],
)
def test_an_exported_model_must_match_the_config(
    made: list[Model], tmp_path: Path, change: dict[str, object], remedy: str
) -> None:
    path = tmp_path / "mine.model"
    exported_model.write(exported_model.export(MODEL), path)
    with pytest.raises(ModelError) as caught:
        exported_model.read(path, MODEL.model_copy(update=change))
    assert remedy in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    with pytest.raises(ModelError, match=r"photo\.jpg"):
        exported_model.read(path)
    path.write_bytes(b"jpeg")
    with pytest.raises(ModelError, match=r"photo\.jpg.*not an exported model"):
        exported_model.read(path)


def test_a_place_that_cannot_be_written_is_named(made: list[Model], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        exported_model.write(exported_model.export(MODEL), tmp_path / "nowhere" / "mine.model")


def test_no_tensorflow_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"fruitscale\[tensorflow\]"):
        exported_model.export(MODEL)
