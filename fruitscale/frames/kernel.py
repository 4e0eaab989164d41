"""The kernels that process a batch of rows in any engine: photos to features, features to components.

Both are picklable and self-contained, so they can be part of a user's own job. Workers need fruitscale's base install.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fruitscale.config.loading import Given, as_config
from fruitscale.config.schema import Images, Storage
from fruitscale.errors import ArchivedObjectError, InputError, MissingObjectError, UsageError
from fruitscale.kernels import backbone, images
from fruitscale.kernels.images import Rejection
from fruitscale.kernels.moments import Components, project
from fruitscale.model.exported_model import execution, export
from fruitscale.runs.fitted_pca import inherited_settings, open_fitted_pca
from fruitscale.runs.reader import open_complete
from fruitscale.storage.listing import Photo
from fruitscale.storage.read_ahead import ReadAhead
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import Store, open_store
from fruitscale.uris import is_s3

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 256
"""Rows processed at a time, which are in memory together."""
MOST_BYTES = 100_000_000
"""Largest model in a closure, in bytes: Spark Connect accepts messages of up to 128 MB."""
LOADS: Counter[str] = Counter()
"""How often this process has loaded each model, by sha256."""


@dataclass(frozen=True)
class Featurizer:
    """A model and its photo settings: batches with `path` or `content` in, features out."""

    payload: bytes = field(repr=False)
    sha256: str
    execution: backbone.Execution
    input_size: int
    width: int
    images: Images
    root_uri: str
    storage: Storage
    crop: float | None = None

    def features_of(
        self, paths: Sequence[str | None] | None, contents: Sequence[bytes | None] | None
    ) -> pa.StructArray:
        """Return `features` (list of float32) and `reject` (the reason if there are none) of some photos.

        A photo without path or content (None) is a reject.

        Raises InputError for the first unusable photo if `images.on_error` is fail, StorageError if the store does not
        answer.
        """
        import pyarrow as pa

        rows = list(self._pixels(paths, contents))
        good = [row for row in rows if isinstance(row, np.ndarray)]
        values = self._infer(np.stack(good)) if good else np.empty((0, self.width), np.float32)
        reasons = [f"{row.reason}: {row.detail}" if isinstance(row, Rejection) else None for row in rows]
        return pa.StructArray.from_arrays(
            [lists(values, [reason is None for reason in reasons]), pa.array(reasons, pa.string())], NAMES
        )

    def _infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        model, loaded = backbone.cached(self.sha256, self.execution, lambda: self.payload)
        LOADS[self.sha256] += loaded
        return model.infer(pixels)

    def _pixels(
        self, paths: Sequence[str | None] | None, contents: Sequence[bytes | None] | None
    ) -> Iterator[NDArray[np.uint8] | Rejection]:
        for content in contents if contents is not None else self._read(paths or ()):
            pixels = self._decode(content)
            if isinstance(pixels, Rejection) and self.images.on_error == "fail":
                raise InputError(f"A photo can't be used: {pixels.reason}: {pixels.detail}.")
            yield pixels

    def _decode(self, content: bytes | Rejection | None) -> NDArray[np.uint8] | Rejection:
        if content is None or isinstance(content, Rejection):
            return content or Rejection("empty", "There is no content.")
        return images.decode(content, self.input_size, self.images, self.crop)

    def _read(self, paths: Sequence[str | None]) -> Iterator[bytes | Rejection]:
        source = open_store(self.root_uri, self.storage)
        photos = [Photo(self._name(path), None, 0, "") for path in paths if path is not None]
        contents = (_content(source, photo) for photo in photos)
        if is_s3(self.root_uri):
            ahead = ReadAhead(lambda photo: _content(source, photo), photos, self.storage.concurrency)
            contents = (content for _, content in ahead)
        for path in paths:
            yield Rejection("missing", "there is no path") if path is None else next(contents)

    def _name(self, path: str) -> str:
        """Return a path relative to the root. Raises UsageError if it is elsewhere."""
        root = self.root_uri.rstrip("/") + "/"
        if path.startswith(root):
            return path[len(root) :]
        if path.startswith("file:"):  # as Spark writes it: file:/photos/a.jpg
            path = unquote("/" + path.removeprefix("file:").lstrip("/"))
        if "://" in path or (path.startswith("/") and is_s3(self.root_uri)):
            raise UsageError(f"{path} is not below {self.root_uri}.", "Set input.uri to the folder with the photos.")
        return path


@dataclass(frozen=True)
class Projector:
    """A run's components: features in, scores out."""

    content: bytes = field(repr=False)
    uri: str

    @property
    def fitted(self) -> Components:
        """The components, parsed once per process."""
        return _components(self.content)

    def components_of(self, features: pa.ListArray) -> pa.ListArray:
        """Return the scores of a column of features, null for rows without features. Raises UsageError for another width."""
        width = self.fitted.mean.size
        known = features.is_valid().to_numpy(zero_copy_only=False)
        flat = features.flatten().to_numpy(zero_copy_only=False)
        if flat.size != width * known.sum():
            raise UsageError(
                f"The features are not the {width} features of {self.uri}.", "Compute them with that run's model."
            )
        with threadpool_limits(1):
            return lists(project(flat.reshape(-1, width), self.fitted), known)


NAMES = ["features", "reject"]


def featurizer(config: Given | None = None, run: str | None = None) -> Featurizer:
    """Return the kernel of a configuration, with its model exported; `run`: with the model and settings of that run.

    Paths are relative to `input.uri`, or to the run's input if it is not set. Raises ModelError if the model is unavailable,
    UsageError if it is too large for a closure.
    """
    given: Given = {} if config is None else config
    access = StorageAccess(as_config(given).storage)
    settings = as_config(given, None if run is None else inherited_settings(run, access))
    root = settings.input.uri or ("" if run is None else open_complete(run, access).record.input.uri) or "/"
    exported = export(settings.model)
    if len(exported.payload) > MOST_BYTES:
        raise UsageError(
            f"The model has {len(exported.payload) / 1e6:.0f} MB, but a closure may have at most {MOST_BYTES / 1e6:.0f} MB.",
            "Use a smaller model, or fruitscale.run, which has no such limit.",
        )
    return Featurizer(
        payload=exported.payload,
        sha256=exported.sha256,
        execution=execution(settings.model),
        input_size=exported.input_size,
        width=exported.features,
        images=settings.images,
        root_uri=root,
        storage=access.storage_for(root),
        crop=exported.crop,
    )


def projector(run: str, storage: Storage | None = None) -> Projector:
    """Return the kernel of a complete run's components. Raises InputError or OutputError if there is none."""
    fitted_pca = open_fitted_pca(run, StorageAccess(storage))
    return Projector(fitted_pca.fitted.to_bytes(), run)


def check_columns(existing: Sequence[str], needs: Sequence[str], adds: Sequence[str]) -> str:
    """Return the first needed column that exists. Raises UsageError if none does, or an added one exists already."""
    if taken := set(adds) & set(existing):
        raise UsageError(f"The column {sorted(taken)[0]} exists already.", "Rename it first.")
    for name in needs:
        if name in existing:
            return name
    raise UsageError(f"There is no column {' or '.join(needs)}; the columns are {', '.join(existing)}.", "Rename one.")


def lists(values: NDArray[np.float32], known: Sequence[bool] | NDArray[np.bool_]) -> pa.ListArray:
    """Return rows (n, width) as lists of float32, null for unknown rows."""
    import pyarrow as pa

    lengths = np.where(np.asarray(known, bool), values.shape[1], 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), pa.float32())
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~np.asarray(known, bool)))


def _content(source: Store, photo: Photo) -> bytes | Rejection:
    try:
        return source.read(photo.path)
    except MissingObjectError:
        return Rejection("missing", f"there is no {photo.path}")
    except ArchivedObjectError:
        return Rejection("archived", f"{photo.path} is in an archive class of S3")


@lru_cache(maxsize=1)
def _components(content: bytes) -> Components:
    return Components.from_bytes(content)
