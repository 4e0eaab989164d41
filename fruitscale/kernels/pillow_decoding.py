"""Decodes PNG, WebP, HEIC, AVIF, BMP, TIFF and GIF with Pillow's reader of exactly that format, and pillow-heif.

A crafted file can thus reach no other of Pillow's many readers.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

from fruitscale.config.schema import Images
from fruitscale.kernels.container_sizes import png_data_is_complete, webp_size
from fruitscale.kernels.decode_limits import excess
from fruitscale.kernels.exif import INVERSE, ORIENTATION_TAG, UPRIGHT, as_orientation, orient, xmp_orientation
from fruitscale.kernels.file_kinds import tiff_compression
from fruitscale.kernels.heic_data import has_hole, is_cut_short
from fruitscale.kernels.python_warnings import no_warnings
from fruitscale.kernels.rejection import Rejection, rejected_by
from fruitscale.kernels.rgb_conversion import Pixels, rgb

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_TILE_SIZE = (322, 323)
_END_OF_PNG = b"IEND\xaeB`\x82"


def decode_with_pillow(kind: str, content: bytes, settings: Images) -> tuple[Pixels | Rejection, int, str | None]:
    """Return the pixels, the orientation still to apply, and a warning; or a Rejection."""
    warning = None
    if kind == "PNG" and _END_OF_PNG not in content and png_data_is_complete(content):
        warning = "a PNG without its end mark"
    elif kind in _unfinished(content):
        return Rejection("truncated", f"The {kind} file ends before its end mark."), UPRIGHT, None
    if kind == "HEIC" and has_hole(content):
        return Rejection("damaged", "HEIC: a part of the compressed pixels is missing"), UPRIGHT, None
    try:
        with no_warnings:
            pixels, orientation = _decode(kind, content, settings)
    except ImportError as error:
        return Rejection("unsupported format", f"{kind} can't be read by this Python: {error}"), UPRIGHT, None
    except Exception as error:  # noqa: BLE001  damaged bytes make Pillow raise nearly anything
        if kind == "TIFF" and str(error) == str(tiff_compression(content)):
            rejected = Rejection("unsupported format", f"TIFF: compression {error} is not read")
            return rejected, UPRIGHT, None
        rejected = rejected_by(kind, error)
        if rejected.reason == "damaged" and kind in ("HEIC", "AVIF") and is_cut_short(content):
            rejected = Rejection("truncated", rejected.detail)
        return rejected, UPRIGHT, None
    return pixels, orientation, warning


def _unfinished(content: bytes) -> tuple[str, ...]:
    """Return the formats in which this file would be truncated; Pillow decodes some of those without an error."""
    riff_bytes = int.from_bytes(content[4:8], "little")
    return tuple(
        kind for kind, cut in (("PNG", _END_OF_PNG not in content), ("WebP", riff_bytes > len(content) - 8)) if cut
    )


def _decode(kind: str, content: bytes, settings: Images) -> tuple[Pixels | Rejection, int]:
    """Decode with Pillow. Raises whatever Pillow raises."""
    size = webp_size(content) if kind == "WebP" else None  # Pillow's reader of WebP allocates when it opens
    rejected = excess(kind, *size, settings) if size else None
    if rejected is None:
        image = _open(kind, content)
        deep = image.mode.startswith(("I", "F")) or image.info.get("bit_depth", 8) > 8
        rejected = excess(kind, *_decoded_size(image), settings, deep)
    if rejected is not None:
        return rejected, UPRIGHT
    applied = _orientation_applied_on_load(image)
    image.load()
    pixels = rgb(image)
    if applied is None:
        return pixels, UPRIGHT if kind == "HEIC" else _orientation(image)  # libheif applies what the container states
    if settings.exif_orientation == "ignore":
        pixels = orient(pixels, INVERSE.get(applied, applied))
    return pixels, UPRIGHT


def _open(kind: str, content: bytes) -> ImageFile:
    """Read the header with Pillow's reader of this format, without decoding pixels."""
    from PIL import BmpImagePlugin, GifImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    readers: dict[str, type[ImageFile]] = {
        "PNG": PngImagePlugin.PngImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "GIF": GifImagePlugin.GifImageFile,
    }
    reader = readers.get(kind) or (_avif_reader() if kind == "AVIF" else _heic_reader())
    return reader(io.BytesIO(content))


@cache
def _avif_reader() -> type[ImageFile]:
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # engines run one task per core: more threads would only compete
    return AvifImagePlugin.AvifImageFile


@cache
def _heic_reader() -> type[ImageFile]:
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1  # as above
    pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False
    reader: type[ImageFile] = pillow_heif.HeifImageFile
    return reader


def _decoded_size(image: ImageFile) -> tuple[int, int]:
    """Return the width and height of what is decoded at once: a tile of a TIFF may be larger than the image."""
    tags = getattr(image, "tag_v2", {})
    sides = [max(side, tags.get(tag, 1)) for side, tag in zip(image.size, _TILE_SIZE, strict=True)]
    return sides[0], sides[1]


def _orientation_applied_on_load(image: ImageFile) -> int | None:
    """Return the orientation of a TIFF, which Pillow applies and drops on load; None for other formats."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return None
    return as_orientation(tags[ORIENTATION_TAG] if ORIENTATION_TAG in tags else xmp_orientation(image.info.get("xmp")))


def _orientation(image: ImageFile) -> int:
    """Return the orientation in the EXIF, or in the XMP if that has none."""
    try:
        return as_orientation(image.getexif().get(ORIENTATION_TAG, UPRIGHT))
    except Exception:  # noqa: BLE001  damaged EXIF, good pixels
        return UPRIGHT
