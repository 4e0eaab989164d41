"""Makes JPEG thumbnails of photos, within a byte budget."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from fruitscale.config.schema import Images
from fruitscale.errors import ChangedObjectError, MissingObjectError
from fruitscale.kernels import images
from fruitscale.kernels.images import Pixels, Rejection
from fruitscale.runs.careful_decoder import CarefulDecoders
from fruitscale.storage.folder_listing import UNADDRESSABLE
from fruitscale.storage.listing import Photo
from fruitscale.storage.residency import StorageAccess
from fruitscale.storage.store import Store, open_store
from fruitscale.uris import is_s3

SIDE, LEAST_SIDE = 96, 24
QUALITIES = (82, 70, 55, 40)
THREADS = 4
PATIENCE = 10.0
"""Seconds to retry a request to S3: less than in a run, since a page can do without a thumbnail."""


def thumbnails(uri: str, photos: Sequence[Photo], options: Images, access: StorageAccess, most_bytes: int) -> list[str]:
    """Return a JPEG per photo in base64, `most_bytes` in all; empty for a photo that is gone or changed.

    A thumbnail is the whole photo stretched to a square, as the network sees it. Raises ResidencyError if the bucket is
    outside the allowed regions, StorageError if the store fails.
    """
    if not photos:
        return []
    storage = access.storage_for(uri)
    storage = storage.model_copy(update={"retry_seconds": min(storage.retry_seconds, PATIENCE)})
    source, most = open_store(uri, storage), most_bytes // len(photos)

    with closing(CarefulDecoders(photo.size for photo in photos)) as decoders:
        decode = partial(decoders.decode, size=SIDE, settings=options)
        pool = ThreadPoolExecutor(storage.concurrency if is_s3(uri) else THREADS, "thumbnail")
        try:
            return list(pool.map(lambda photo: _thumbnail(source, photo, decode, most), photos))
        finally:
            pool.shutdown(cancel_futures=True)


def _thumbnail(source: Store, photo: Photo, decode: Callable[[bytes], Pixels | Rejection], most: int) -> str:
    if photo.version == UNADDRESSABLE:
        return ""
    try:
        content = source.read(photo.path, photo.version)
    except (MissingObjectError, ChangedObjectError):
        return ""
    pixels = decode(content)
    return "" if isinstance(pixels, Rejection) else as_jpeg(pixels, most)


def as_jpeg(pixels: Pixels, most: int) -> str:
    """Return a JPEG in base64 that fits, lowering quality first and size next; empty if none fits."""
    import simplejpeg

    side = SIDE
    while side >= LEAST_SIDE:
        small = images.resize(pixels, side)
        for quality in QUALITIES:
            content = base64.b64encode(simplejpeg.encode_jpeg(small, quality, "RGB", "420"))
            if len(content) <= most:
                return content.decode()
        side //= 2
    return ""
