"""Checks weights: what a network with its ImageNet head recognises in two well-known photos."""

from __future__ import annotations

import dataclasses
import importlib.resources
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Model
from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.model import keras_process, weights
from fruitscale.storage.scratch import ScratchFolder

PHOTOS = ("china.jpg", "flower.jpg")
"""scikit-learn's sample photos: the Summer Palace in Beijing, and a dahlia (not a class of ImageNet)."""


@dataclass(frozen=True)
class Guess:
    """An ImageNet class and its probability, 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Recognition:
    """One photo and its five most likely classes, most likely first."""

    photo: str
    guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class CheckResult:
    """What a network recognised in photos of `input_size` pixels per side."""

    architecture: str
    weights: str
    weights_sha256: str
    input_size: int
    photos: tuple[Recognition, ...]


def check(model: Model) -> CheckResult:
    """Classify PHOTOS with a network, in a child process.

    Raises ModelError if the weights are unavailable or have no ImageNet head, MissingExtraError without TensorFlow or
    scikit-learn.
    """
    if model.exported is not None:
        raise ModelError(
            "An exported model has no ImageNet head to check.",
            "Check the weights it was exported from: --set model.exported=null",
        )
    if model.architecture == "patch_mean":
        raise ModelError(
            "patch_mean recognises nothing: it is not a network, so it has no ImageNet head to check.",
            "Check a network: --set model.architecture=mobilenet_v2",
        )
    if weights.resolve(model).kind == "random":
        raise ModelError(
            "Random weights recognise nothing: they have no ImageNet head to check.",
            "Check others: --set model.weights=imagenet, packaged, or the path of a file",
        )
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "report")
    with ScratchFolder("check") as folder:
        keras_process.run("check", model, folder)
        found = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    photos = tuple(
        Recognition(photo["photo"], tuple(Guess(**guess) for guess in photo["guesses"]))
        for photo in found.pop("photos")
    )
    return CheckResult(photos=photos, **found)


def recognise(model: Model, folder: Path) -> None:
    """Write `check.json` in a folder. Runs in the child: it needs TensorFlow."""
    from sklearn.datasets import load_sample_image

    from fruitscale.model import network

    classifier, sha256 = network.classifier(model)
    photos = tuple(Recognition(name, guesses(classifier, load_sample_image(name))) for name in PHOTOS)
    result = CheckResult(model.architecture, model.weights, sha256, network.CHECK_SIZE, photos)
    (folder / "check.json").write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")


def guesses(classifier: Any, photo: NDArray[np.uint8]) -> tuple[Guess, ...]:  # noqa: ANN401  a Keras model
    """Return the five most likely classes of a photo, uint8 RGB (height, width, 3), resized for the network."""
    import keras

    size = classifier.input_shape[1:3]
    pixels = keras.ops.image.resize(photo[None].astype(np.float32), size, antialias=True)
    [probabilities] = classifier.predict(np.rint(np.asarray(pixels)).clip(0, 255).astype(np.uint8), verbose=0)
    names = class_names()
    return tuple(Guess(names[i], float(probabilities[i])) for i in np.argsort(-probabilities)[:5])


def class_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes, in the order of a network's outputs."""
    text = importlib.resources.files("fruitscale.model").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))
