"""Checks weights: what a network with its ImageNet head recognises in two well-known photos."""

from __future__ import annotations

import dataclasses
import importlib.resources
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Model
from fruitscale.errors import MissingExtraError, ModelError
from fruitscale.kernels import backbone, images
from fruitscale.model import architectures, keras_process, preprocess, weights
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
    """One photo, its five most likely classes, most likely first, and the length of its features.

    Without classes there are no guesses; without a file there is no length.
    """

    photo: str
    guesses: tuple[Guess, ...]
    norm: float | None = None


@dataclass(frozen=True)
class CheckResult:
    """What a network recognised in photos of `input_size` pixels per side.

    Of a network that is a file: the number of its features, and their largest relative distance from its own `runtime`.
    """

    architecture: str
    weights: str
    weights_sha256: str
    input_size: int
    photos: tuple[Recognition, ...]
    features: int | None = None
    distance: float | None = None
    runtime: str | None = None


def check(model: Model) -> CheckResult:
    """Classify PHOTOS with a network, in a child process; if it is a file without classes, compute their features.

    Raises ModelError if the weights are unavailable or have no ImageNet head, MissingExtraError without TensorFlow (or what
    the network's file needs) or scikit-learn.
    """
    if (remedy := _why_not(model)) is not None:
        raise ModelError(*remedy)
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "report")
    with ScratchFolder("check") as folder:
        keras_process.run("check", model, folder)
        found = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    photos = tuple(
        Recognition(photo["photo"], tuple(Guess(**guess) for guess in photo["guesses"]), photo["norm"])
        for photo in found.pop("photos")
    )
    return CheckResult(photos=photos, **found)


def _why_not(model: Model) -> tuple[str, str] | None:
    """Return why a network has nothing to check, and the remedy; None if it has."""
    if model.exported is not None:
        return (
            "An exported model has no ImageNet head to check.",
            "Check the weights it was exported from: --set model.exported=null",
        )
    if model.architecture == "patch_mean":
        return (
            "patch_mean recognises nothing: it is not a network, so it has no ImageNet head to check.",
            "Check a network: --set model.architecture=mobilenet_v2",
        )
    if weights.resolve(model).kind == "random":
        return (
            "Random weights recognise nothing: they have no ImageNet head to check.",
            "Check others: --set model.weights=imagenet, packaged, or the path of a file",
        )
    return None


def recognise(model: Model, folder: Path) -> None:
    """Write `check.json` in a folder. Runs in the child: it needs TensorFlow, or what the network's file needs."""
    result = _of_file(model, folder) if model.architecture == "file" else _of_keras(model)
    (folder / "check.json").write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")


def _of_keras(model: Model) -> CheckResult:
    from sklearn.datasets import load_sample_image

    from fruitscale.model import network

    classifier, sha256 = network.classifier(model)
    photos = tuple(Recognition(name, guesses(classifier, load_sample_image(name))) for name in PHOTOS)
    return CheckResult(model.architecture, model.weights, sha256, classifier.input_shape[1], photos)


def _of_file(model: Model, folder: Path) -> CheckResult:
    from sklearn.datasets import load_sample_image

    from fruitscale.model.own_export import convert_file

    converted = convert_file(model, folder)
    labels = converted.labels
    header, _ = backbone.unpack(converted.payload)
    network = backbone.load(converted.payload)
    if model.output.l2 or len(labels) != header.features:
        labels = class_names() if header.features == architectures.CLASSES and not model.output.l2 else ()
    crop = preprocess.crop_of(header.preprocess)
    photos = []
    for name in PHOTOS:
        stored = load_sample_image(name)
        pixels = images.resize(stored if crop is None else images.middle(stored, crop), header.input_size)
        [features] = network.infer(pixels[None])
        photos.append(Recognition(name, _likely(features, labels), float(np.linalg.norm(features))))
    return CheckResult(
        architecture="file",
        weights=str(model.file),
        weights_sha256=header.weights_sha256,
        input_size=header.input_size,
        photos=tuple(photos),
        features=header.features,
        distance=converted.distance,
        runtime=converted.runtime,
    )


def _likely(scores: NDArray[np.float32], labels: Sequence[str]) -> tuple[Guess, ...]:
    """Return a classifier's five most likely labels, none if it has none. Scores that are not probabilities are logits."""
    if not labels:
        return ()
    if scores.min() < 0 or abs(float(scores.sum()) - 1) > 0.01:
        powers = np.exp(scores - scores.max())
        scores = powers / powers.sum()
    return tuple(Guess(labels[i], float(scores[i])) for i in np.argsort(-scores)[:5])


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
