"""The features of photos that are not in a run, by the run's own model and photo settings."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fruitscale.config import loading
from fruitscale.config.schema import Images, Model
from fruitscale.errors import FruitscaleError, InputError, MissingObjectError, ModelError, UsageError
from fruitscale.kernels import backbone, images
from fruitscale.kernels.images import Pixels, Rejection
from fruitscale.model.exported_model import ExportedModel, execution, export, from_payload
from fruitscale.runs.careful_decoder import CarefulDecoder
from fruitscale.runs.photo_lookup import LocatedPhoto, locate
from fruitscale.runs.reader import CompleteRun
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import Store
from fruitscale.uris import is_s3, local_path

OTHER_BYTES = (
    "the model was exported by other versions of TensorFlow or OpenVINO than the run's, from the same weights: distances to "
    "this photo can differ in their last digits"
)


@dataclass(frozen=True)
class NewPhoto:
    """A photo outside the run: its features (1, width), its pixels as the network sees them, and notes on both."""

    features: NDArray[np.float32]
    pixels: Pixels
    notes: tuple[str, ...]


def is_file(photo: str) -> bool:
    """Return whether a text is the path or s3:// URI of a photo, rather than a path within a run."""
    if is_s3(photo):
        return True
    try:
        return local_path(photo).is_file()
    except (UsageError, OSError, ValueError):
        return False


def locate_or_file(run: CompleteRun, photo: str) -> LocatedPhoto | None:
    """Return a photo's place in the run, or None if it is a file outside. Raises what `locate` raises if it is neither."""
    try:
        return locate(run, photo)
    except FruitscaleError:
        if is_file(photo):
            return None
        raise


def new_photo(run: CompleteRun, photo: str, access: StorageAccess, exported: str | None = None) -> NewPhoto:
    """Return the features of a photo, a file or s3:// URI, as the run would have computed them.

    `exported` is a model file to use. Raises InputError if the photo can't be read or used, ModelError if the run's model is
    unavailable.
    """
    config = loading.from_mapping(run.plan.config)
    model, notes = model_of(run, config.model, exported)
    pixels, warning = decoded(run, photo, model.input_size, access, model.crop)
    loaded = backbone.load(model.payload, execution(config.model))
    notes += (f"the photo was read with a warning: {warning}",) if warning else ()
    return NewPhoto(loaded.infer(pixels[np.newaxis]), pixels, notes)


def decoded(
    run: CompleteRun, photo: str, size: int, access: StorageAccess, crop: float | None = None
) -> tuple[Pixels, str | None]:
    """Return a photo's pixels, a square decoded with the run's settings, and a warning or None. Raises InputError.

    `crop` is that of the run's model, None to see the whole photo.
    """
    settings = loading.from_mapping(run.plan.config).images
    content = _read(photo, settings, access)
    with closing(CarefulDecoder()) as decoder:
        pixels, warning = decoder.decode(content, size, settings, crop)
    if isinstance(pixels, Rejection):
        raise InputError(
            f"{photo} can't be used: {pixels.reason}: {pixels.detail}", "Give a photo that can be decoded."
        )
    return pixels, warning


def model_of(run: CompleteRun, model: Model, exported: str | None = None) -> tuple[ExportedModel, tuple[str, ...]]:
    """Return the model of a run, and notes; `exported` is a model file to use.

    Raises ModelError if it is unavailable, or is not the run's.
    """
    found, wanted = _find(run, model, exported), run.record.model
    if found.sha256 == wanted.sha256:
        return found, ()
    if found.weights_sha256 != wanted.weights_sha256 or found.calibration is not None:
        raise ModelError(
            f"The model found is not the one of {run.uri}: its sha256 is {found.sha256:.12}, not {wanted.sha256:.12}.",
            "Give the model file of the run: --set model.exported=FILE",
        )
    return found, (OTHER_BYTES,)


def _find(run: CompleteRun, model: Model, exported: str | None) -> ExportedModel:
    """Return the given model file, else the run's, as int8 from the run folder; whatever is found is compared later."""
    if exported is None and (payload := run.folder.read_model()) is not None and model.precision == "int8":
        return from_payload(payload, model)
    path = exported or model.exported
    if exported is None and path is not None and not Path(path).expanduser().is_file():
        path = None  # a file of the machine that ran it
    return export(model.model_copy(update={"exported": path}))


def _read(photo: str, settings: Images, access: StorageAccess) -> bytes:
    store, name = _place(photo, access)
    try:
        content = store.read(name)
    except MissingObjectError:
        raise InputError(f"{photo} does not exist.", "Give a photo, or a path of the run's manifest.parquet.") from None
    rejection = images.too_large(len(content), settings)
    if rejection is not None:
        raise InputError(f"{photo} can't be used: {rejection.reason}: {rejection.detail}")
    return content


def _place(photo: str, access: StorageAccess) -> tuple[Store, str]:
    if is_s3(photo):
        folder, _, name = photo.rpartition("/")
        return access.open(folder), name
    path = local_path(photo)
    return access.open(str(path.parent)), path.name
