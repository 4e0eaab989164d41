"""The model of a run: exported or, for int8, the one that the run began with, else calibrated on a sample of its photos."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fruitscale.config.schema import Config
from fruitscale.errors import ModelError, UsageError
from fruitscale.model import exported_model, preprocess, quantization
from fruitscale.model.exported_model import ExportedModel
from fruitscale.pipeline.existing_run import ExistingRun
from fruitscale.pipeline.input_listing import earlier_runs, list_input
from fruitscale.pipeline.progress import RunProgress
from fruitscale.runs.careful_decoder import CarefulDecoder
from fruitscale.runs.fitted_pca import FittedPca, configured_pca
from fruitscale.runs.manifest import Manifest
from fruitscale.runs.run_folder import MODEL, RunFolder
from fruitscale.stages import read_photo
from fruitscale.storage.listing import Photo
from fruitscale.storage.residency import StorageAccess

SPARE = 2
"""Photos that are looked at for each one of the calibration: some may be unusable."""


@dataclass(frozen=True)
class RunModels:
    """Where the model of one run comes from."""

    config: Config
    access: StorageAccess
    folder: RunFolder | None
    photos: Callable[[], Manifest]
    applied: FittedPca | None = None
    scratch: Path | None = None

    def find(self) -> ExportedModel:
        """Return the model; int8: that of the run which is applied, or which the folder holds, else a new calibration.

        So photos that come or change later leave the features of the others as they are.
        """
        model = self.config.model
        if model.exported is not None:
            return exported_model.read(Path(model.exported), model)
        if model.precision != "int8":
            return exported_model.export(model, self.scratch)
        return self.kept() or self.calibrated()

    def kept(self) -> ExportedModel | None:
        """Return the int8 model that an earlier run kept. Raises ModelError if the run that is applied has lost it."""
        model = self.config.model
        if self.applied is not None:
            payload = self.applied.run.folder.read_model()
            if payload is None:
                raise ModelError(
                    f"The int8 model of {self.applied.run.uri} is missing: it has no {MODEL}.",
                    "Restore this file, or set model.exported to a copy of it.",
                )
            return exported_model.from_payload(payload, model)
        payload = None if self.folder is None else self.folder.read_model()
        if payload is None:
            return None
        try:
            found = exported_model.from_payload(payload, model)
        except ModelError:  # damaged: the same photos give the same one
            return None
        return found if quantization.fits(found, model, self.scratch) else None

    def calibrated(self) -> ExportedModel:
        """Return the int8 model calibrated on this run's photos, from the cache or made now."""
        return quantization.quantized(self.config.model, sample(self.config, self.access, self.photos()), self.scratch)

    def is_replaced(self, found: ExportedModel, existing: ExistingRun) -> bool:
        """Return whether a kept int8 model goes with the run that it belongs to."""
        is_own = self.config.model.exported is None and self.applied is None
        return found.calibration is not None and is_own and existing.action in ("replace", "clear")


def export_for(config: Config, scratch: Path | None = None) -> ExportedModel:
    """Return the model that a run of this config would use, before it runs; int8 is calibrated on its photos, if need be."""
    if config.model.precision != "int8" or config.model.exported is not None:
        return exported_model.export(config.model, scratch)
    if not config.input.uri:
        raise UsageError("int8 is calibrated on photos, but input.uri is not set.", "Add --set input.uri=PHOTOS")
    access = StorageAccess(config.storage)
    output = config.output.uri
    if access.check(config.input.uri, config.input.list or "", *([output] if output else []), *earlier_runs(config)):
        config = config.model_copy(update={"storage": access.settled})
    folder = RunFolder(access.open(output)) if output else None
    silent = RunProgress("export", lambda event: None)
    models = RunModels(
        config, access, folder, lambda: list_input(config, access, silent), configured_pca(config, access), scratch
    )
    return models.find()


def sample(config: Config, access: StorageAccess, photos: Manifest) -> NDArray[np.uint8]:
    """Return the pixels of the usable photos with the smallest sha256 of their path, at most `quantization.PHOTOS`.

    So the sample is spread evenly, and depends on neither order nor machine. Raises ModelError if no photo is usable.
    """
    pixels: list[NDArray[np.uint8]] = []
    crop = preprocess.crop_of(preprocess.described(config.model)[0])
    with closing(CarefulDecoder()) as decoder:
        for content in _contents(config, access, photos):
            decoded, _ = decoder.decode(content, config.model.input_size, config.images, crop)
            if isinstance(decoded, np.ndarray):
                pixels.append(decoded)
            if len(pixels) == quantization.PHOTOS:
                break
    if not pixels:
        raise ModelError(
            "int8 is calibrated on photos of the run, but none of those tried is usable.", quantization.HINT
        )
    return np.stack(pixels)


def _contents(config: Config, access: StorageAccess, photos: Manifest) -> Iterator[bytes]:
    source = access.open(config.input.uri)
    for photo in heapq.nsmallest(SPARE * quantization.PHOTOS, photos.rows(), key=_place):
        if photo.size <= config.images.max_bytes and isinstance(content := read_photo(source, photo), bytes):
            yield content


def _place(photo: Photo) -> str:
    return hashlib.sha256(photo.path.encode("utf-8", "surrogateescape")).hexdigest()


def how_to_export(config: Config) -> str | None:
    """Return a message about the export, which takes time; None if the model is cached."""
    if config.model.precision == "int8" and config.model.exported is None:
        return "int8 is calibrated once on photos of the run, which takes minutes"
    if exported_model.is_cached(config.model):
        return None
    how = "its file is converted once" if config.model.architecture == "file" else "TensorFlow exports it once"
    return f"{how}; later runs use the cache"
